"""The detector and the U-Net of zero-shot separation on a CUDA device: `pytest -m gpu`."""

import math

import pytest
import torch

from separator.api import load_htsat
from separator.model.asp_unet import AspConfig, AspUnet
from separator.model.engine import Engine
from separator.model.zero_shot_files import read_separator
from tests.helpers import golden_zs
from tests.helpers.golden import relative_error

pytestmark = pytest.mark.gpu


def test_detector_on_gpu_equals_official_output(htsat_checkpoint):
    detector = load_htsat(htsat_checkpoint, device="cuda")
    wave = golden_zs.load_tensors("htsat_inputs")["wave_2s"]
    reference = golden_zs.load_tensors("htsat768")
    found = detector.infer(wave)
    for key in ("framewise", "clipwise", "latent"):
        assert relative_error(getattr(found, key), reference[f"{key}_2s"]) < 1e-5


def test_unet_on_gpu_equals_official_output(tmp_path):
    path = golden_zs.write_official(tmp_path / "zeroshot_asp.ckpt", golden_zs.make_state("zsasp"))
    net, data = read_separator(path).net, golden_zs.load_tensors("zsasp")
    mixture, condition = data["mixture"][:1], data["condition"][:1]
    fp32, bf16 = (
        Engine(net, "cuda", precision, "off", "each").separate(mixture, 32_000, condition)[0]
        for precision in ("fp32", "bf16")
    )
    assert relative_error(fp32, data["waveform_2s"][:1]) < 1e-5
    assert -20 * math.log10(relative_error(bf16, fp32)) > 35


def test_a_later_batch_of_pieces_leaves_the_gains_of_earlier_ones():
    """Of a compiled network the next batch is written to the same memory."""
    torch.manual_seed(0)
    net = AspUnet(AspConfig()).eval().requires_grad_(False)
    waveform, conditions = 0.1 * torch.randn(1, 110 * 32_000), torch.randn(2, 2_048)
    eager, compiled = (
        Engine(net, "cuda", "fp32", mode, context="pieces").separate(waveform, 32_000, conditions)
        for mode in ("off", "on")
    )
    assert relative_error(compiled, eager) < 1e-5
