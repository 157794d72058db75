"""Test that the engine gives the plain network's stems for any cut of the work."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from separator.errors import AudioError, NonFiniteAudio, RateError, RequestError
from separator.model.engine import Engine, find_overflows
from separator.model.folded import CONTEXT_FRAMES, FoldedResUNet
from separator.model.resunet import ResUNet, separate_plainly
from tests.helpers.engines import make_engine, make_noise
from tests.helpers.golden import make_small_net, relative_error

# Slow, but run by `make check`.
CHECKED = (pytest.mark.slow, pytest.mark.check)
HZ = 32_000
RANDOM_LENGTH = 431_803
LENGTHS = [1, 319, 320, 10_239, 10_240, 10_241, RANDOM_LENGTH]
WINDOW_FRAMES = [736, 768, 1_056, 2_048]


@pytest.fixture(scope="module")
def net() -> ResUNet:
    return make_small_net(n_fft=640)  # a third of the bins, and of the time


@pytest.fixture(scope="module")
def engine(net: ResUNet) -> Engine:
    return make_engine(net)


def make_conditions(num: int, seed: int = 0) -> Tensor:
    return torch.nn.functional.normalize(make_noise(num, 512, seed=seed + 100), dim=-1)


def plain_stem(net: ResUNet, waveform_T: Tensor, condition_D: Tensor) -> Tensor:
    with torch.inference_mode():
        return separate_plainly(net, waveform_T[None], condition_D[None])[0]


@pytest.mark.parametrize("num_samples", [*LENGTHS, pytest.param(int(61.7 * HZ), marks=CHECKED)])
def test_separate_equals_plain_network_at_any_length(net, engine, num_samples):
    waveform, conditions = make_noise(1, num_samples), make_conditions(1)
    stem = engine.separate(waveform, HZ, conditions)
    assert stem.shape == (1, 1, num_samples)
    assert relative_error(stem[0, 0], plain_stem(net, waveform[0], conditions[0])) < 1e-5


@pytest.mark.parametrize("num_samples", [319, 9_919, 10_238, 431_999])
def test_stems_end_as_quietly_as_they_are(engine, num_samples):
    """Just before the centre of a frame that is no longer there."""
    stem = engine.separate(make_noise(1, num_samples), HZ, make_conditions(1))[0, 0].abs()
    assert stem[-8:].max() < 2 * stem[:-8].max()


def test_separate_of_no_samples_is_empty(engine):
    assert engine.separate(torch.zeros(2, 0), HZ, make_conditions(3)).shape == (3, 2, 0)


@pytest.mark.parametrize(
    ("num_samples", "window"),
    [*((RANDOM_LENGTH, w) for w in WINDOW_FRAMES), (736 * 320, 736), (736 * 320 - 1, 736)],
)
def test_separate_does_not_depend_on_window(net, engine, window, num_samples):
    waveform, conditions = make_noise(1, num_samples), make_conditions(1)
    whole = plain_stem(net, waveform[0], conditions[0])
    stem = make_engine(net, window=window).separate(waveform, HZ, conditions)
    assert relative_error(stem[0, 0], whole) < 1e-5


@pytest.mark.parametrize(
    ("span_s", "num_samples"),
    [(0.32, 1), (0.32, 10_241), (0.32, 150_003), (4.0, RANDOM_LENGTH), (17.3, RANDOM_LENGTH)],
)
def test_separate_does_not_depend_on_span(net, span_s, num_samples):
    waveform, conditions = make_noise(1, num_samples), make_conditions(1)
    whole = plain_stem(net, waveform[0], conditions[0])
    stem = make_engine(net, window=800).separate(waveform, HZ, conditions, span_s=span_s)
    assert relative_error(stem[0, 0], whole) < 1e-5
    assert (stem[0, 0] - whole).abs().max() < 1e-5  # a seam would exceed it


@pytest.mark.parametrize(
    "rate_hz",
    [
        1_000,
        44_100,
        *(pytest.param(r, marks=CHECKED) for r in (5_000, 8_000, 11_025, 48_000, 96_000, 192_000)),
    ],
)
def test_separate_does_not_depend_on_span_at_other_rates(engine, rate_hz):
    waveform, conditions = make_noise(1, int(12.3 * rate_hz)), make_conditions(1)
    whole = engine.separate(waveform, rate_hz, conditions)
    assert whole.shape[-1] == waveform.shape[-1]
    spans = engine.separate(waveform, rate_hz, conditions, span_s=4.0)
    assert relative_error(spans, whole) < 1e-5


@pytest.mark.parametrize("rate_hz", [1_001, 44_056])
def test_separate_resamples_rates_off_the_grid(engine, rate_hz):
    waveform, conditions = make_noise(1, rate_hz), make_conditions(1)
    stem = engine.separate(waveform, rate_hz, conditions)
    assert stem.shape == (1, 1, rate_hz)
    assert torch.isfinite(stem).all()
    with pytest.raises(RateError, match="divisible by 25"):
        engine.plan_spans(rate_hz, rate_hz)


@pytest.mark.parametrize("rate_hz", [999, 192_001, 0, -1, 44_100.0])
def test_separate_refuses_rates_out_of_range(engine, rate_hz):
    with pytest.raises(RateError, match=str(rate_hz)):
        engine.separate(make_noise(1, 100), rate_hz, make_conditions(1))


def test_separate_of_many_queries_equals_each_alone(net):
    engine = make_engine(net)
    waveform, conditions = make_noise(2, 3 * HZ), make_conditions(5)
    together = engine.separate(waveform, HZ, conditions)
    for q in range(5):
        alone = engine.separate(waveform[1:], HZ, conditions[q : q + 1])
        assert relative_error(together[q, 1], alone[0, 0]) < 1e-5
    for a, b in pairwise(together):
        assert relative_error(a, b) > 1e-3


def test_policies_agree_on_one_channel(net):
    waveform, conditions = make_noise(1, 2 * HZ), make_conditions(1)
    mono = make_engine(net, "mono").separate(waveform, HZ, conditions)
    linked = make_engine(net, "linked").separate(waveform, HZ, conditions)
    each = make_engine(net, "each").separate(waveform, HZ, conditions)
    assert torch.equal(mono, linked)
    assert torch.equal(mono, each)


def test_linked_policy_keeps_stereo_image(net):
    """A panned sound stays panned, and the mean of the channels equals the mono stem."""
    one = make_noise(1, 2 * HZ)
    panned, conditions = torch.cat([one, 0.25 * one]), make_conditions(1)
    stem = make_engine(net, "linked").separate(panned, HZ, conditions)[0]
    assert relative_error(0.25 * stem[0], stem[1]) < 1e-5
    wide = make_noise(2, 2 * HZ, seed=5)
    linked = make_engine(net, "linked").separate(wide, HZ, conditions)[0]
    mono = make_engine(net, "mono").separate(wide, HZ, conditions)[0]
    assert mono.shape == (1, 2 * HZ)
    assert relative_error(linked.mean(0), mono[0]) < 1e-5


def test_shorter_context_is_less_exact(net, engine):
    waveform, conditions = make_noise(1, 12 * HZ), make_conditions(1)
    whole = engine.separate(waveform, HZ, conditions)
    errors = []
    for context in (0.0, 0.5, 1.0):
        short = make_engine(net, context=context)
        assert short.context_frames < CONTEXT_FRAMES
        errors.append(relative_error(short.separate(waveform, HZ, conditions, span_s=2.0), whole))
    assert errors[0] > errors[1] > errors[2] > 1e-7
    with pytest.raises(RequestError, match="context"):
        make_engine(net, context=-1.0)


def test_separate_of_silence_is_silence(engine):
    stem = engine.separate(torch.zeros(2, 3 * HZ), HZ, make_conditions(2))
    assert torch.equal(stem, torch.zeros(2, 2, 3 * HZ))


@pytest.mark.parametrize(
    "waveform",
    [
        torch.full((1, HZ), 0.7),
        torch.sign(make_noise(1, HZ)),
        1e4 * make_noise(1, HZ),
        1e-30 * make_noise(1, HZ),
        torch.ones(1, 1),
    ],
    ids=["dc", "clipped", "huge", "tiny", "one-sample"],
)
def test_separate_of_odd_signals_is_finite(engine, waveform):
    stem = engine.separate(waveform, 48_000, make_conditions(1))
    assert torch.isfinite(stem).all()
    assert stem.shape[-1] == waveform.shape[-1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_separate_refuses_non_finite_samples(engine, value):
    waveform = make_noise(2, 1_000)
    waveform[1, 77] = value
    with pytest.raises(NonFiniteAudio, match=r"\(1, 77\)"):
        engine.separate(waveform, HZ, make_conditions(1))


@pytest.mark.parametrize(
    "waveform", [torch.zeros(10), torch.zeros(0, 10), torch.zeros(1, 10, dtype=torch.int16)]
)
def test_separate_refuses_wrong_waveforms(engine, waveform):
    with pytest.raises(AudioError):
        engine.separate(waveform, HZ, make_conditions(1))


@pytest.mark.parametrize("conditions", [torch.zeros(512), torch.zeros(0, 512), torch.zeros(1, 511)])
def test_separate_refuses_wrong_conditions(engine, conditions):
    with pytest.raises(RequestError, match="512"):
        engine.separate(make_noise(1, 10), HZ, conditions)


def test_separate_does_not_change_inputs(engine):
    waveform, conditions = make_noise(2, HZ), make_conditions(1)
    before = waveform.clone(), conditions.clone()
    engine.separate(waveform, HZ, conditions)
    assert torch.equal(waveform, before[0])
    assert torch.equal(conditions, before[1])


def test_stem_is_the_same_alone_and_among_others(engine):
    waveform, conditions = make_noise(2, 5 * HZ), make_conditions(3)
    among = engine.separate(waveform, HZ, conditions)
    for number, stem in enumerate(among):
        alone = engine.separate(waveform, HZ, conditions[number : number + 1])
        assert torch.equal(alone[0], stem)


class SmallDevice(torch.nn.Module):
    """A network on a device with memory for `limit` frames at once."""

    def __init__(self, inner, limit: int) -> None:
        super().__init__()
        self.inner, self.limit = inner, limit
        self.compute_shifts, self.normalize = inner.compute_shifts, inner.normalize
        self.slice_frames = inner.slice_frames
        self.refused = 0

    def forward(self, x: Tensor, shifts: Tensor) -> Tensor:
        if x.shape[0] * x.shape[1] > self.limit:
            self.refused += 1
            raise torch.OutOfMemoryError("full")
        return self.inner(x, shifts)


def test_out_of_memory_halves_the_batch_for_good(net, engine, caplog):
    waveform, conditions = make_noise(1, 12 * HZ), make_conditions(2)
    small = make_engine(net)
    small.forward.net = SmallDevice(small.forward.net, limit=1_000)
    stems = small.separate(waveform, HZ, conditions)
    assert relative_error(stems, engine.separate(waveform, HZ, conditions)) < 1e-5
    assert small.forward.net.refused == len(caplog.records) > 0
    refused = small.forward.net.refused
    small.separate(waveform, HZ, conditions)
    assert small.forward.net.refused == refused  # remembered, not tried again
    small.forward.net.limit = 10
    with pytest.raises(torch.OutOfMemoryError, match="does not fit"):
        small.separate(waveform, HZ, conditions)


def test_separate_span_does_not_change_gradient_mode(engine):
    waveform, conditions = make_noise(1, HZ), make_conditions(2)
    (span,) = engine.plan_spans(HZ, HZ)
    for stem in engine.separate_span(waveform, HZ, conditions, span):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        assert not stem.is_inference() and not stem.requires_grad


def test_separate_refuses_non_finite_conditions(engine):
    with pytest.raises(RequestError, match="conditions"):
        engine.separate(make_noise(1, 10), HZ, torch.full((1, 512), float("nan")))


def test_engine_grid_follows_network(engine):
    assert engine.grid_s == Fraction(8, 25)
    assert engine.context_frames == CONTEXT_FRAMES == 352


def test_sounds_that_fp16_is_too_narrow_for_are_computed_in_fp32(net, caplog):
    """As on a GPU, where precision=bf16 adds in fp16."""
    waveform, conditions = make_noise(1, HZ), make_conditions(2)
    engines = [make_engine(net), make_engine(net)]
    for engine in engines:
        engine.forward.net = FoldedResUNet(engine.net, torch.bfloat16, on_gpu=True).eval()
    usual, loud = engines
    reference = make_engine(net).separate(waveform, HZ, conditions)
    assert 1e-4 < relative_error(usual.separate(waveform, HZ, conditions), reference) < 1e-2
    assert usual.in_fp32 is None and not caplog.messages
    loud.forward.net.encoders[0].before_weight *= 1e6
    stems = loud.separate(waveform, HZ, conditions)
    assert relative_error(stems, reference) < 1e-6 and "fp16 is too narrow" in caplog.text


def test_overflows_are_found_by_query():
    gains = torch.zeros(4, 1, 2, 3, 2)
    gains[1, 0, 1, 2, 0], gains[3, 0, 0, 0, 1] = torch.inf, torch.nan
    assert find_overflows(gains) == [1, 3] and find_overflows(gains[:1]) == []
