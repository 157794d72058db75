"""Test the official pieces of 2 s: each is separated as if it were alone in the world."""

import numpy as np
import pytest
import torch

from separator.audio.resample import resample
from separator.config import ModelSettings
from separator.errors import RequestError
from separator.model.asp_unet import separate_by_mask
from separator.model.cuts import plan_cuts
from separator.model.resunet import NetworkConfig
from separator.stages.separate import OurEngine
from tests.helpers import golden_zs
from tests.helpers.checkpoints import make_net
from tests.helpers.engines import make_engine, make_noise
from tests.helpers.golden import relative_error

HZ, PIECE = 32_000, 64_000


@pytest.fixture(scope="module")
def net():
    return golden_zs.make_small_unet(n_fft=640)


@pytest.fixture(scope="module")
def conditions():
    return make_noise(2, 64, seed=1) * 5


def separate_alone(net, waveform_1T, condition_D):
    """The referee: every piece through the plain network."""
    with torch.inference_mode():
        parts = [separate_by_mask(net, p, condition_D[None]) for p in waveform_1T.split(PIECE, 1)]
    return torch.cat(parts, 1)


@pytest.mark.parametrize("num_samples", [1, PIECE, 2 * PIECE + 12_345])
def test_each_piece_is_separated_alone(net, conditions, num_samples):
    waveform = make_noise(1, num_samples)
    stems = make_engine(net, context="pieces").separate(waveform, HZ, conditions)
    assert stems.shape == (2, 1, num_samples)
    for stem, condition in zip(stems, conditions, strict=True):
        assert relative_error(stem, separate_alone(net, waveform, condition)) < 1e-5
    if num_samples > PIECE:  # seams: it is not the exact result
        exact = make_engine(net).separate(waveform, HZ, conditions)
        assert relative_error(stems, exact) > 1e-3


def test_pieces_of_any_rate_are_those_of_the_resampled_track(net, conditions):
    waveform = make_noise(1, 7 * 44_100 + 999)
    inner = resample(waveform, 44_100, HZ)
    whole = resample(separate_alone(net, inner, conditions[0]), HZ, 44_100)
    for span_s in (122.88, 4.0):
        stem = make_engine(net, context="pieces").separate(waveform, 44_100, conditions[:1], span_s)
        assert relative_error(stem[0], whole[:, : waveform.shape[1]]) < 1e-4


def test_pieces_keep_channels_and_batches_apart(net, conditions):
    stereo = make_noise(2, PIECE + 500)
    each = make_engine(net, "each", context="pieces").separate(stereo, HZ, conditions[:1])[0]
    for channel, stem in zip(stereo, each, strict=True):
        assert relative_error(stem[None], separate_alone(net, channel[None], conditions[0])) < 1e-5
    linked = make_engine(net, "linked", context="pieces").separate(stereo, HZ, conditions[:1])[0]
    mono = make_engine(net, "mono", context="pieces").separate(stereo, HZ, conditions[:1])[0]
    assert linked.shape == stereo.shape and mono.shape == (1, stereo.shape[1])
    assert relative_error(linked.mean(0, keepdim=True), mono) < 1e-5
    small = make_engine(net, "each", context="pieces")
    small.forward.budget_bytes = small.forward.count_bytes(1)  # one piece at a time
    assert relative_error(small.separate(stereo, HZ, conditions[:1])[0], each) < 1e-5


def test_pieces_are_for_the_separator_that_was_trained_on_them(net):
    with pytest.raises(RequestError, match=r"context='pieces': only the separator of zero-shot"):
        make_engine(make_net(), context="pieces")
    model = ModelSettings(device="cpu", precision="fp32", context="pieces")
    assert OurEngine(net.config, net.state_dict()).make(model).is_in_pieces


def test_cuts_are_those_of_the_network(net):
    """A span's context reaches what each network sees: 352 and 512 frames."""
    grid, context = 64 * 0.01, 512 * 0.01
    cuts = plan_cuts(net.config)
    assert (float(cuts.grid_s), float(cuts.context_s)) == (grid, context)
    cuts = plan_cuts(NetworkConfig())
    assert (float(cuts.grid_s), float(cuts.context_s)) == (0.32, 3.52)
    cuts = plan_cuts(NetworkConfig(n_fft=1280, hop=640))  # mini's
    assert (float(cuts.grid_s), float(cuts.context_s)) == (0.64, 7.04)
    cuts = plan_cuts(net.config, 1.0)
    assert float(cuts.context_s) == 1.28  # whole cells
    for number in (np.float32(1), np.int64(1)):
        assert plan_cuts(net.config, number) == cuts  # pyright: ignore[reportArgumentType]
    cuts = plan_cuts(net.config, "pieces")
    assert (cuts.grid_s, cuts.context_s) == (2, 2)
    engine = make_engine(net)
    assert (float(engine.grid_s), float(engine.context_s)) == (0.64, 5.12)
