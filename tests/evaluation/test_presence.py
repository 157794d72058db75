"""Figures of presence against cases worked out by hand, and scikit-learn for the area under ROC."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from separator.evaluation.presence import Counts, area_under_roc, count_events, count_segments


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([(1.0, 3.0)], [(1.0, 3.0)], Counts(1, 0, 0)),
        ([(1.3, 3.0)], [(1.0, 3.0)], Counts(1, 0, 0)),  # at the collar
        ([(1.31, 3.0)], [(1.0, 3.0)], Counts(0, 1, 1)),
        ([(1.0, 4.0)], [(1.0, 3.0)], Counts(1, 0, 0)),  # the end within half of 2 s
        ([(1.0, 4.01)], [(1.0, 3.0)], Counts(0, 1, 1)),
        ([(1.0, 1.5)], [(1.0, 1.2)], Counts(1, 0, 0)),  # a short one: within 0.3 s
        ([(1.0, 1.51)], [(1.0, 1.2)], Counts(0, 1, 1)),
        ([], [(1.0, 1.2)], Counts(0, 0, 1)),
        ([(5.0, 6.0)], [], Counts(0, 1, 0)),
        # Each at most once: two stretches at one event, one stretch at two events.
        ([(1.0, 3.0), (1.1, 3.0)], [(1.0, 3.0)], Counts(1, 1, 0)),
        ([(1.0, 3.0)], [(1.0, 3.0), (1.1, 3.0)], Counts(1, 0, 1)),
        # The first stretch fits both events, the second one only the first: both are matched.
        ([(1.25, 3.0), (0.8, 3.0)], [(1.0, 3.0), (1.5, 3.0)], Counts(2, 0, 0)),
    ],
)
def test_events_are_matched_within_the_tolerances(found, truth, expected):
    assert count_events(found, truth) == expected


def test_segments_are_active_where_a_stretch_touches_them():
    # Truth: segments 1, 2 and 7; found: 2, 3 and 7.
    counts = count_segments([(2.0, 3.5), (7.9, 8.0)], [(1.2, 2.5), (7.0, 7.1)], 9.5)
    assert counts == Counts(hits=2, false_alarms=1, misses=1)
    assert counts.f1 == pytest.approx(2 / 3)
    assert count_segments([(0, 9.5)], [], 9.5) == Counts(0, 10, 0)


def test_counts_add_up_and_nothing_to_find_has_no_f1():
    assert Counts(1, 2, 3) + Counts(4, 5, 6) == Counts(5, 7, 9)
    assert Counts(3, 1, 2).f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert math.isnan(Counts().f1)


def test_area_under_roc_is_that_of_scikit_learn():
    assert area_under_roc([0.9, 0.8, 0.3, 0.1], [True, False, True, False]) == 0.75
    assert area_under_roc([0.5, 0.5], [True, False]) == 0.5
    assert math.isnan(area_under_roc([0.5, 0.5], [True, True]))
    rng = np.random.default_rng(0)
    scores_N = rng.integers(0, 20, 300) / 20  # with many equal ones
    is_there_N = rng.random(300) < scores_N
    expected = roc_auc_score(is_there_N, scores_N)
    assert area_under_roc(scores_N.tolist(), is_there_N.tolist()) == pytest.approx(expected)
