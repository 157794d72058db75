"""Test that spans cut from a stream equal those planned from a known length."""

from fractions import Fraction

import numpy as np
import pytest

from separator.audio.spans import cut_spans, plan_spans

RATE_HZ = 8_000
GRID_S = Fraction(8, 25)
CELL = 2_560


def cut(samples_CT, block, span_s, context_s):
    blocks = (samples_CT[:, i : i + block] for i in range(0, samples_CT.shape[1], block))
    return list(cut_spans(blocks, RATE_HZ, span_s, context_s, GRID_S))


@pytest.mark.parametrize("cells", [0, 0.01, 1, 2.5, 6, 6.001, 17.3])
@pytest.mark.parametrize("block", [1_000, CELL, 100_000])
@pytest.mark.parametrize(("span_cells", "context_cells"), [(1, 0), (2, 1), (2, 4), (3, 11)])
def test_cut_spans_equal_planned_spans(cells, block, span_cells, context_cells):
    num_samples = int(cells * CELL)
    samples_CT = np.arange(2 * num_samples, dtype=np.float32).reshape(2, num_samples)
    span_s, context_s = float(span_cells * GRID_S), context_cells * GRID_S
    planned = plan_spans(num_samples, RATE_HZ, span_s, context_s, GRID_S)
    found = cut(samples_CT, block, span_s, context_s)
    assert len(found) == len(planned)
    for (span, part_CT, is_last), wanted in zip(found, planned, strict=True):
        same = (span.start, span.stop, span.core_start, span.core_stop)
        assert same == (wanted.start, wanted.stop, wanted.core_start, wanted.core_stop)
        np.testing.assert_array_equal(part_CT, samples_CT[:, wanted.start : wanted.stop])
        assert is_last == (wanted is planned[-1])


def test_cut_spans_yields_once_context_has_arrived():
    taken = 0

    def blocks():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield np.zeros((1, CELL), np.float32)

    spans = cut_spans(blocks(), RATE_HZ, float(4 * GRID_S), 2 * GRID_S, GRID_S)
    next(spans)
    assert taken == 6
    next(spans)
    assert taken == 10
