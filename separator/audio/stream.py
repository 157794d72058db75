"""A track as it comes, cut into spans with context: the same cuts as if its length were known.

Shapes: C channels, T samples.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from separator.audio.spans import Span, cell_samples, round_up


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
