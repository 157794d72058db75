"""Plan cuts: spans of a track (in samples) and windows of a spectrogram (in frames).

Both start on a grid on which the network's poolings repeat, and carry enough context that the
result does not depend on the cut.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from separator.errors import RateError, RequestError

# Below the lowest rate, the resampler would reach beyond the context that spans carry.
LOWEST_HZ, HIGHEST_HZ = 1_000, 192_000
GRID_HZ = 25  # tracks are decoded at multiples of this: grids are whole multiples of 0.04 s


@dataclass(frozen=True)
class Span:
    """A stretch of a track: samples `start..stop` are needed to give `core_start..core_stop`."""

    start: int
    stop: int
    core_start: int
    core_stop: int
    num_samples: int  # of the whole track

    def __post_init__(self) -> None:
        assert 0 <= self.start <= self.core_start <= self.core_stop, self
        assert self.core_stop <= self.stop <= self.num_samples, self

    @property
    def core(self) -> slice:
        """Locate the core within the span's own samples."""
        return slice(self.core_start - self.start, self.core_stop - self.start)


def check_rate(rate_hz: int) -> None:
    """Raise RateError unless the rate is a whole number within the supported range."""
    if not (isinstance(rate_hz, int) and LOWEST_HZ <= rate_hz <= HIGHEST_HZ):
        raise RateError(
            f"rate_hz={rate_hz!r}: must be a whole number from {LOWEST_HZ} to {HIGHEST_HZ}"
        )


def cell_samples(rate_hz: int, grid_s: Fraction) -> int:
    """Count the samples in one cell of the grid; RateError if that is not a whole number."""
    cell = grid_s * rate_hz
    if cell.denominator != 1:
        raise RateError(
            f"rate_hz={rate_hz}: spans need a rate divisible by {cell.denominator}; "
            "resample the track first, for example to 48000"
        )
    return cell.numerator


@dataclass(frozen=True)
class _SpanRule:
    """The one rule that places spans: lengths in samples, whole cells of the grid."""

    core: int
    context: int

    def place(self, at: int, num_samples: int) -> Span:
        """Return the span whose core starts at sample `at` of a track of `num_samples`."""
        return Span(
            start=max(0, at - self.context),
            stop=min(num_samples, at + self.core + self.context),
            core_start=at,
            core_stop=min(num_samples, at + self.core),
            num_samples=num_samples,
        )


def _make_rule(rate_hz: int, span_s: float, context_s: Fraction, grid_s: Fraction) -> _SpanRule:
    """Round both lengths up to the grid."""
    if not span_s > 0 or context_s < 0:
        raise RequestError(f"span_s={span_s}, context_s={context_s}: must be positive")
    cell = cell_samples(rate_hz, grid_s)
    core = round_up(max(1, int(Fraction(span_s) * rate_hz)), cell)
    return _SpanRule(core, round_up(int(context_s * rate_hz), cell))


def plan_spans(
    num_samples: int, rate_hz: int, span_s: float, context_s: Fraction, grid_s: Fraction
) -> list[Span]:
    """List the spans of a track; their cores tile `0..num_samples`."""
    rule = _make_rule(rate_hz, span_s, context_s, grid_s)
    return [rule.place(at, num_samples) for at in range(0, num_samples, rule.core)]


def cut_spans(
    blocks_CT: Iterable[np.ndarray],
    rate_hz: int,
    span_s: float,
    context_s: Fraction,
    grid_s: Fraction,
) -> Iterator[tuple[Span, np.ndarray, bool]]:
    """Yield (span, its samples, whether it is the last) as soon as its context has arrived.

    The spans are those of `plan_spans`, except that `num_samples` is the length known so far. At
    most a span with its context and one block are held.
    """
    rule = _make_rule(rate_hz, span_s, context_s, grid_s)
    held: list[np.ndarray] = []  # samples `first..stop` of the track
    first = stop = at = 0
    for block_CT in itertools.chain(blocks_CT, (None,)):
        if block_CT is not None:
            held.append(block_CT)
            stop += block_CT.shape[-1]
        while stop > at:
            span = rule.place(at, stop)
            # Until the track has ended, its last span and any lack of context are unknown.
            is_whole = stop > at + rule.core and stop >= at + rule.core + rule.context
            if block_CT is not None and not is_whole:
                break
            if len(held) > 1:
                held = [np.concatenate(held, 1)]
            samples_CT = held[0][:, span.start - first : span.stop - first]
            yield span, samples_CT, span.core_stop == stop
            at += rule.core
            needed = min(stop, max(0, at - rule.context))
            held, first = [held[0][:, needed - first :]], needed


@dataclass(frozen=True)
class Window:
    """Frames `start..stop` enter the network, the result of `core_start..core_stop` is kept."""

    start: int
    stop: int
    core_start: int
    core_stop: int


def plan_windows(
    num_frames: int, keep_start: int, keep_stop: int, longest: int, context: int, grid: int
) -> list[Window]:
    """Plan the fewest windows, of one length <= `longest`, whose cores tile the frames to keep.

    All numbers are frames and multiples of `grid`. Windows of one length can be batched.
    """
    first, last = max(0, keep_start - context), min(num_frames, keep_stop + context)
    if last - first <= longest:
        return [Window(first, last, keep_start, keep_stop)]
    if longest < 2 * context + grid:
        raise RequestError(
            f"windows of {longest} frames: {context} frames of context on both sides leave no core"
        )
    # Only a window at an end of the track lacks context, on that side.
    inner = last - first - 2 * context
    count = -(-inner // (longest - 2 * context))
    length = round_up(-(-inner // count), grid) + 2 * context
    windows = []
    at = keep_start
    while at < keep_stop:
        start = min(max(first, at - context), last - length)
        stop = start + length
        core_stop = keep_stop if stop == last else stop - context
        windows.append(Window(start, stop, at, core_stop))
        at = core_stop
    return windows


def round_up(value: int, step: int) -> int:
    """Round up to a multiple of `step`."""
    return -(-value // step) * step
