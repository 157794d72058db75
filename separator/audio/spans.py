"""Where to cut: spans of a track (samples) and windows of a spectrogram (frames). Pure integers.

Everything is cut on a grid the network's poolings repeat on, and carries enough context that what
is kept does not depend on the cut.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from separator.errors import RateError, RequestError

# 32 frames of 10 ms: a whole number of samples at every rate divisible by 25.
GRID_S = Fraction(8, 25)
# 352 frames: the network sees 319 to either side, its STFT 4 more, the resampler less than 1.
CONTEXT_S = 11 * GRID_S
SPAN_S = 122.88
LOWEST_HZ, HIGHEST_HZ = 8_000, 192_000


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
        """The core within the span's own samples."""
        return slice(self.core_start - self.start, self.core_stop - self.start)


def check_rate(rate_hz: int) -> None:
    if not (isinstance(rate_hz, int) and LOWEST_HZ <= rate_hz <= HIGHEST_HZ):
        raise RateError(
            f"rate_hz={rate_hz!r}: must be a whole number from {LOWEST_HZ} to {HIGHEST_HZ}"
        )


def cell_samples(rate_hz: int, grid_s: Fraction = GRID_S) -> int:
    """Samples in one cell of the grid; an error where that is not a whole number."""
    cell = grid_s * rate_hz
    if cell.denominator != 1:
        raise RateError(
            f"rate_hz={rate_hz}: spans need a rate divisible by {cell.denominator}; "
            "resample the track first, for example to 48000"
        )
    return cell.numerator


def plan_spans(
    num_samples: int,
    rate_hz: int,
    span_s: float = SPAN_S,
    context_s: Fraction = CONTEXT_S,
    grid_s: Fraction = GRID_S,
) -> list[Span]:
    """Spans whose cores tile `0..num_samples`; both lengths are rounded up to the grid."""
    if not span_s > 0 or context_s < 0:
        raise RequestError(f"span_s={span_s}, context_s={context_s}: must be positive")
    cell = cell_samples(rate_hz, grid_s)
    core = round_up(max(1, int(Fraction(span_s) * rate_hz)), cell)
    context = round_up(int(context_s * rate_hz), cell)
    return [
        Span(
            start=max(0, at - context),
            stop=min(num_samples, at + core + context),
            core_start=at,
            core_stop=min(num_samples, at + core),
            num_samples=num_samples,
        )
        for at in range(0, num_samples, core)
    ]


def cut_spans(
    blocks_CT: Iterable[np.ndarray],
    rate_hz: int,
    span_s: float,
    context_s: Fraction,
    grid_s: Fraction,
) -> Iterator[tuple[Span, np.ndarray, bool]]:
    """(span, its samples, whether it is the last) as soon as its context is there.

    A span's `num_samples` is the track's as far as it is known. At most a span with its context
    and one block are held.
    """
    cell = cell_samples(rate_hz, grid_s)
    core = round_up(max(1, int(Fraction(span_s) * rate_hz)), cell)
    context = round_up(int(context_s * rate_hz), cell)
    held: list[np.ndarray] = []  # from sample `first` on, `stop - first` in all
    first = stop = at = 0
    for block_CT in blocks_CT:
        if not block_CT.shape[-1]:
            continue
        held.append(block_CT)
        stop += block_CT.shape[-1]
        # More than the core, or it could be the last one.
        while stop > at + core and stop >= at + core + context:
            whole_CT = np.concatenate(held, 1) if len(held) > 1 else held[0]
            start, end = max(0, at - context), at + core + context
            yield (
                Span(start, end, at, at + core, stop),
                whole_CT[:, start - first : end - first],
                False,
            )
            at += core
            first_needed = max(0, at - context)
            held, first = [whole_CT[:, first_needed - first :]], first_needed
    while stop > at:
        whole_CT = np.concatenate(held, 1) if len(held) > 1 else held[0]
        held = [whole_CT]
        start, end = max(0, at - context), min(stop, at + core + context)
        is_last = stop <= at + core
        core_stop = min(stop, at + core)
        yield (
            Span(start, end, at, core_stop, stop),
            whole_CT[:, start - first : end - first],
            is_last,
        )
        at += core


@dataclass(frozen=True)
class Window:
    """Frames `start..stop` go through the network, `core_start..core_stop` of it is kept."""

    start: int
    stop: int
    core_start: int
    core_stop: int


def plan_windows(
    num_frames: int, keep_start: int, keep_stop: int, longest: int, context: int, grid: int
) -> list[Window]:
    """The fewest windows of one length <= `longest` whose cores tile `keep_start..keep_stop`.

    All numbers are multiples of `grid`. One length for all, because equal windows can be batched.
    """
    first, last = max(0, keep_start - context), min(num_frames, keep_stop + context)
    if last - first <= longest:
        return [Window(first, last, keep_start, keep_stop)]
    if longest < 2 * context + grid:
        raise RequestError(f"windows of {longest} frames leave nothing of {context} of context")
    # The first and the last window lack context on one side only if the track ends there.
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
    return -(-value // step) * step
