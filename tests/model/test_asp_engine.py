"""Test the engine on the U-Net of zero-shot separation: the plain network's stems, from any cut."""

import numpy as np
import pytest
import torch
from torch import Tensor

from separator import load_model
from separator.api import load_htsat
from separator.encoders.latent import encode_sounds
from separator.errors import QueryError, RequestError
from separator.model.asp_unet import AspConfig, separate_by_mask
from separator.model.identity import ANY_DETECTOR
from separator.model.networks import count_flops
from tests.helpers import golden_zs
from tests.helpers.engines import make_engine, make_noise
from tests.helpers.golden import relative_error

CHECKED = (pytest.mark.slow, pytest.mark.check)
HZ = 32_000
LENGTH = 601_803  # 18.8 s


@pytest.fixture(scope="module")
def net():
    return golden_zs.make_small_unet(n_fft=640)


def separate_whole(net, waveform_T: Tensor, condition_D: Tensor) -> Tensor:
    with torch.inference_mode():
        return separate_by_mask(net, waveform_T[None], condition_D[None])[0]


@pytest.mark.parametrize("num_samples", [1, 319, 20_480, 20_481, 150_003])
def test_engine_equals_plain_network_at_any_length(net, num_samples):
    waveform, conditions = make_noise(1, num_samples), make_noise(2, 64, seed=1) * 5
    stems = make_engine(net).separate(waveform, HZ, conditions)
    assert stems.shape == (2, 1, num_samples)
    for stem, condition in zip(stems[:, 0], conditions, strict=True):
        assert relative_error(stem, separate_whole(net, waveform[0], condition)) < 1e-5


@pytest.mark.parametrize("context", ["exact", "pieces"])
def test_stem_is_the_same_alone_and_among_others(net, context):
    waveform, conditions = make_noise(2, 150_003), make_noise(3, 64, seed=1) * 5
    engine = make_engine(net, context=context)
    among = engine.separate(waveform, HZ, conditions)
    for number, stem in enumerate(among):
        alone = engine.separate(waveform, HZ, conditions[number : number + 1])
        assert torch.equal(alone[0], stem)


@pytest.fixture(scope="module")
def case(net) -> tuple[Tensor, Tensor, Tensor]:
    """Make a sound, a condition, and the stem of the whole in one pass."""
    waveform, conditions = make_noise(1, LENGTH), make_noise(1, 64, seed=1) * 5
    return waveform, conditions, separate_whole(net, waveform[0], conditions[0])


@pytest.mark.parametrize(
    ("window", "span_s"),
    [(1_408, 122.88), *(pytest.param(*c, marks=CHECKED) for c in [(1_088, 122.88), (1_280, 4.0)])],
)
def test_stems_do_not_depend_on_windows_and_spans(net, case, window, span_s):
    waveform, conditions, whole = case
    stem = make_engine(net, window=window).separate(waveform, HZ, conditions, span_s)
    assert relative_error(stem[0, 0], whole) < 1e-5
    assert (stem[0, 0] - whole).abs().max() < 1e-5  # a seam would exceed it


def test_a_short_context_is_not_exact(net, case):
    waveform, conditions, whole = case
    engine = make_engine(net, window=1_088, context=0.64)
    assert engine.context_frames == 64
    assert relative_error(engine.separate(waveform, HZ, conditions)[0, 0], whole) > 1e-4


@pytest.mark.parametrize("rate_hz", [44_100, pytest.param(8_000, marks=CHECKED)])
def test_stems_do_not_depend_on_spans_at_other_rates(net, rate_hz):
    waveform, conditions = make_noise(2, 13 * rate_hz), make_noise(1, 64, seed=1) * 5
    engine = make_engine(net, channels="linked")
    whole = engine.separate(waveform, rate_hz, conditions)
    assert whole.shape == (1, *waveform.shape)
    assert relative_error(engine.separate(waveform, rate_hz, conditions, 4.0), whole) < 1e-5


def test_cost_is_that_of_the_full_network():
    assert 636e9 < count_flops(AspConfig()) * 1_024 < 640e9  # the official code's: 638 GFLOP


def test_load_model_tells_a_separator_by_its_names(tmp_path):
    """From example sounds to stems, through the files of both networks."""
    unet = golden_zs.make_small_unet()
    detector = load_htsat(
        golden_zs.write_detector(tmp_path / "detector.ckpt", golden_zs.make_small_detector())
    )
    model = load_model(golden_zs.write_official(tmp_path / "asp.ckpt", unet.state_dict()))
    sound = make_noise(1, 70_000).numpy()
    found = encode_sounds(detector, [(sound, HZ)])
    stems = model.separate(sound, HZ, conditions=found.conditions)
    assert stems.shape == (1, 1, 70_000) and 0 < np.abs(stems).max() < 1
    assert model.encoder_id == ANY_DETECTOR and len(model.checkpoint_sha256) == 64
    with pytest.raises(QueryError, match="separates by example sounds and reads no text"):
        model.separate(sound, HZ, queries=["rain"])
    with pytest.raises(RequestError, match=r"\(queries, 64\) is needed"):
        model.separate(sound, HZ, conditions=np.ones((1, 512), np.float32))
