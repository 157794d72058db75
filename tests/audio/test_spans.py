"""Test that cores of spans and windows tile the track on the grid, with their context."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from separator.audio.spans import plan_spans, plan_windows
from separator.errors import RateError, RequestError

GRID_S = Fraction(8, 25)
CONTEXT_S = 11 * GRID_S
RATES = [8_000, 11_025, 44_100, 48_000, 192_000]


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("span_s", [0.32, 1.0, 122.88])
@pytest.mark.parametrize("num_samples", [0, 1, 4_799, 1_000_003, 6_000_000])
def test_plan_spans_cores_tile_the_track(rate_hz, span_s, num_samples):
    spans = plan_spans(num_samples, rate_hz, span_s, CONTEXT_S, GRID_S)
    cell = GRID_S * rate_hz
    assert sum(s.core_stop - s.core_start for s in spans) == num_samples
    for span in spans:
        assert span.core_start % cell == 0 and span.start % cell == 0
        assert span.stop % cell == 0 or span.stop == num_samples
        assert span.start == max(0, span.core_start - CONTEXT_S * rate_hz)
        assert span.stop == num_samples or span.stop - span.core_stop == CONTEXT_S * rate_hz
    for a, b in pairwise(spans):
        assert a.core_stop == b.core_start


@pytest.mark.parametrize("rate_hz", [44_056, 47_952, 8_001])
def test_plan_spans_refuses_rates_off_the_grid(rate_hz):
    with pytest.raises(RateError, match="divisible by 25"):
        plan_spans(100, rate_hz, 1.0, CONTEXT_S, GRID_S)


@pytest.mark.parametrize("span_s", [0, -1, float("nan")])
def test_plan_spans_refuses_empty_spans(span_s):
    with pytest.raises(RequestError):
        plan_spans(100, 48_000, span_s, CONTEXT_S, GRID_S)


def test_plan_spans_of_one_cell_do_not_drift():
    spans = plan_spans(10 * 15_360, 48_000, 0.32, Fraction(0), GRID_S)
    assert [s.core_stop - s.core_start for s in spans] == [15_360] * 10


def test_plan_windows_cores_tile_the_kept_frames():
    rng = np.random.default_rng(3)
    for _ in range(500):
        num_frames, longest = 32 * int(rng.integers(1, 300)), 32 * int(rng.integers(23, 90))
        first, last = sorted(32 * rng.integers(0, num_frames // 32 + 1, 2))
        if first == last:
            continue
        windows = plan_windows(num_frames, first, last, longest, 352, 32)
        assert windows[0].core_start == first and windows[-1].core_stop == last
        assert len({w.stop - w.start for w in windows}) == 1
        for w in windows:
            assert 0 <= w.start <= w.core_start < w.core_stop <= w.stop <= num_frames
            assert w.stop - w.start <= longest
            assert w.start % 32 == w.stop % 32 == 0
            assert w.start == 0 or w.core_start - w.start >= 352
            assert w.stop == num_frames or w.stop - w.core_stop >= 352
        for a, b in pairwise(windows):
            assert a.core_stop == b.core_start


def test_plan_windows_refuses_windows_without_core():
    with pytest.raises(RequestError, match="context"):
        plan_windows(10_000, 0, 9_984, 704, 352, 32)
