"""The doubt of stems, as docs/report.md states it."""

import numpy as np
import pytest

from separator.report.doubt import (
    CLIPPED,
    FAINT,
    FLAW,
    REASONS,
    SILENT,
    UNLIKE,
    UNSURE,
    WARNED,
    Signs,
    list_reasons,
    rank_within,
    rate_doubt,
)

NAN = float("nan")


def rate(num_rows: int, **columns) -> tuple[np.ndarray, np.ndarray]:
    def fill(name: str, value: float) -> np.ndarray:
        return np.array(columns.get(name, [value] * num_rows), float)

    return rate_doubt(
        Signs(
            is_stem=fill("is_stem", 1).astype(bool),
            query=fill("query", 0).astype(int),
            presence_score=fill("presence_score", NAN),
            similarity=fill("similarity", NAN),
            residual_similarity=fill("residual_similarity", NAN),
            energy_share=fill("energy_share", NAN),
            loudness_lufs=fill("loudness_lufs", -20),
            flaws=fill("flaws", 0).astype(np.int16),
        )
    )


def test_rank_within_ranks_each_group_alone_and_shares_ties():
    values = np.array([3.0, 1.0, 2.0, 2.0, 9.0, NAN, 5.0])
    groups = np.array([0, 0, 0, 0, 1, 0, 2])
    ranks = rank_within(groups, values, np.array([True] * 6 + [False]))
    assert ranks[:4].tolist() == pytest.approx([1, 0, 0.5, 0.5])
    assert ranks[4] == 0.5 and np.isnan(ranks[5:]).all()


def test_rate_doubt_takes_the_mean_of_the_measured_signs():
    doubt, _ = rate(3, presence_score=[0.9, NAN, 0.2], similarity=[0.1, 0.2, 0.3])
    assert doubt.tolist() == pytest.approx([(0.1 + 1) / 2, 0.5, (0.8 + 0) / 2])


def test_rate_doubt_compares_stems_within_their_query_only():
    doubt, _ = rate(4, query=[0, 0, 1, 1], energy_share=[0.5, 0.6, 0.001, 0.002])
    assert doubt.tolist() == [1, 0, 1, 0]


def test_rate_doubt_adds_flaws_up_to_one():
    flaws = [0, 1 << WARNED, (1 << WARNED) | (1 << CLIPPED)]
    doubt, reasons = rate(3, presence_score=[0.5, 0.5, 0.1], flaws=flaws)
    assert doubt.tolist() == pytest.approx([0.5, 0.5 + FLAW, 1.0])
    assert list_reasons(int(reasons[1])) == [REASONS[WARNED]]


def test_rate_doubt_of_a_silent_stem_depends_on_the_detector():
    doubt, reasons = rate(
        3, presence_score=[0.8, 0.2, NAN], loudness_lufs=[-70, -70, -70], energy_share=[0, 0, 0]
    )
    assert doubt.tolist() == [1, 0, 0]
    # Nothing was to be heard: it is no news that the detector was not sure.
    assert [int(each) for each in reasons] == [1 << SILENT] * 3


def test_rate_doubt_leaves_out_failed_rows_and_renditions():
    doubt, reasons = rate(2, is_stem=[1, 0], similarity=[0.2, 0.1])
    assert doubt[0] == 0.5 and np.isnan(doubt[1]) and reasons[1] == 0


def test_rate_doubt_names_the_extremes():
    _, reasons = rate(
        11, similarity=list(range(11)), energy_share=list(range(11)), presence_score=[0.4] * 11
    )
    assert {bit for bit in (UNSURE, UNLIKE, FAINT) if int(reasons[0]) >> bit & 1} == {
        UNSURE,
        UNLIKE,
        FAINT,
    }
    assert int(reasons[10]) == 1 << UNSURE
    assert list_reasons(int(reasons[10])) == ["the detector hardly heard the query"]
