"""Test the separator of zero-shot separation against the official code's output."""

import math

import pytest
import torch

from separator.errors import CheckpointMismatch
from separator.model.asp_unet import AspConfig, separate_by_mask
from separator.model.engine import Engine
from separator.model.spectrogram import compute_spectrum
from separator.model.zero_shot_files import read_separator
from tests.helpers import golden_zs
from tests.helpers.golden import relative_error


@pytest.fixture(scope="module")
def net():
    return golden_zs.make_small_unet()


@pytest.fixture(scope="module")
def state(net):
    return net.state_dict()


@pytest.mark.slow
@pytest.mark.check
def test_separator_equals_official_output(tmp_path):
    """168 M weights through a file: two sounds with a condition each, then the engine."""
    path = golden_zs.write_official(tmp_path / "zeroshot_asp.ckpt", golden_zs.make_state("zsasp"))
    net = read_separator(path).net
    assert net.config == AspConfig()
    data = golden_zs.load_tensors("zsasp")
    with torch.inference_mode():
        stems = separate_by_mask(net, data["mixture"], data["condition"])
    assert relative_error(stems, data["waveform_2s"]) < 1e-5
    mixture, condition = data["mixture"][:1], data["condition"][:1]
    fp32, bf16 = (
        Engine(net, "cpu", precision, "off", "each").separate(mixture, 32_000, condition)[0]
        for precision in ("fp32", "bf16")
    )
    assert relative_error(fp32, data["waveform_2s"][:1]) < 1e-5
    assert -20 * math.log10(relative_error(bf16, fp32)) > 35


def test_names_are_those_of_the_official_file(net):
    names = {name for name in golden_zs.list_names("zsasp") if not name.startswith(("stft", "ist"))}
    assert set(net.state_dict()) == names and len(names) == 279


def test_mask_is_half_at_the_bin_the_network_does_not_see(net):
    sound = 0.1 * torch.randn(2, 40_000, generator=torch.Generator().manual_seed(1))
    magnitude = compute_spectrum(sound, 2048, 320).abs()
    with torch.inference_mode():
        mask = net(magnitude, torch.randn(2, 64))
    assert mask.shape == magnitude.shape
    assert torch.all(mask[..., -1] == 0.5) and mask.min() >= 0 and mask.max() <= 1
    assert mask[..., :-1].std() > 0.01


def test_conditions_stay_with_their_sounds(net):
    generator = torch.Generator().manual_seed(2)
    sounds = 0.1 * torch.randn(2, 30_000, generator=generator)
    conditions = torch.randn(2, 64, generator=generator)
    with torch.inference_mode():
        both = separate_by_mask(net, sounds, conditions)
        alone = separate_by_mask(net, sounds[1:], conditions[1:])
        other = separate_by_mask(net, sounds[1:], conditions[:1])
    assert relative_error(both[1:], alone) < 1e-5 < relative_error(other, alone)


def test_a_file_loads_whole_or_not_at_all(net, state, tmp_path, caplog):
    path = golden_zs.write_official(
        tmp_path / "a.ckpt", state | {"istft.ola_window": torch.ones(1)}
    )
    loaded = read_separator(path).net
    assert loaded.config == net.config and not caplog.records
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    for name in ("after_conv2.bias", "decoder_block3.emb1.weight", "bn0.num_batches_tracked"):
        rest = {key: tensor for key, tensor in state.items() if key != name}
        with pytest.raises(CheckpointMismatch, match=f"1 missing .first: {name}"):
            read_separator(golden_zs.write_official(tmp_path / "b.ckpt", rest))
    with pytest.raises(CheckpointMismatch, match=r"1 unexpected .first: whitening.mean"):
        read_separator(
            golden_zs.write_official(tmp_path / "c.ckpt", state | {"whitening.mean": torch.ones(1)})
        )
    rest = {key: tensor for key, tensor in state.items() if key != "conv_block7.conv1.weight"}
    with pytest.raises(CheckpointMismatch, match=r"another separator: 'conv_block7.conv1.weight'"):
        read_separator(golden_zs.write_official(tmp_path / "d.ckpt", rest))


def test_a_detector_inside_the_file_is_left_aside_with_a_warning(state, tmp_path, caplog):
    inner = {"at_model.sed_model.norm.bias": torch.ones(8)}
    loaded = read_separator(golden_zs.write_official(tmp_path / "a.ckpt", state | inner)).net
    assert set(loaded.state_dict()) == set(state)
    assert "holds a detector too (at_model....): it is not used" in caplog.text


def test_other_files_are_named(tmp_path):
    path = golden_zs.write_detector(tmp_path / "a.ckpt", golden_zs.make_small_detector())
    with pytest.raises(CheckpointMismatch, match=r"a detector .HTS-AT.: load_detector reads it"):
        read_separator(path)
    inner = {"at_model.sed_model.norm.bias": torch.ones(8)}
    with pytest.raises(CheckpointMismatch, match="without the separator: take the detector's own"):
        read_separator(golden_zs.write_official(tmp_path / "b.ckpt", inner))
