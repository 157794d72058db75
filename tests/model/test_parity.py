"""Test the networks against the official network's output, loaded as users do."""

import pytest
import torch

from separator.model.engine import Engine
from separator.model.folded import FoldedResUNet
from separator.model.resunet import ResUNet, separate_plainly
from separator.model.zero_shot_files import read_separator
from tests.helpers import golden


@pytest.fixture(scope="module")
def net(official_checkpoint) -> ResUNet:
    return read_separator(official_checkpoint).net


def load() -> list[torch.Tensor]:
    arrays = golden.load_arrays()
    return [torch.from_numpy(arrays[key]) for key in ("mixture", "condition", "waveform")]


@pytest.fixture(scope="module")
def fp32(net) -> torch.Tensor:
    return separate(Engine(net, "cpu", "fp32", "off", "each"))


def separate(engine: Engine) -> torch.Tensor:
    mixture, condition, _ = load()
    pairs = zip(mixture, condition, strict=True)
    return torch.stack([engine.separate(m[None], 32_000, c[None])[0, 0] for m, c in pairs])


def test_plain_network_equals_official_output(net):
    mixture, condition, waveform = load()
    with torch.inference_mode():
        out = separate_plainly(net, mixture, condition)
    assert golden.relative_error(out, waveform) < 1e-5


def test_engine_equals_official_output(fp32):
    assert golden.relative_error(fp32, load()[2]) < 1e-5


def test_bf16_has_35_db_against_fp32(net, fp32):
    out = separate(Engine(net, "cpu", "bf16", "off", "each"))
    snr_db = -20 * torch.log10(torch.tensor(golden.relative_error(out, fp32)))
    assert snr_db > 35


@pytest.mark.slow
@pytest.mark.check
def test_the_types_of_a_gpu_have_45_db_against_fp32(net, fp32):
    engine = Engine(net, "cpu", "bf16", "off", "each")
    on_gpu = FoldedResUNet(net, torch.bfloat16, on_gpu=True).eval()
    types = {buffer.dtype for buffer in on_gpu.buffers()}
    assert types == {torch.float32, torch.float16}
    engine.forward.net = on_gpu
    snr_db = -20 * torch.log10(torch.tensor(golden.relative_error(separate(engine), fp32)))
    assert snr_db > 45
