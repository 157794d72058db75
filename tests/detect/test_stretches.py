"""From curves to stretches: each step alone, and what holds for all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from separator.detect.stretches import (
    Curve,
    Stretch,
    StretchRule,
    find_stretches,
    presence_score,
    presence_share,
)
from separator.errors import RequestError
from tests.helpers.properties import examples


def find(scores, duration_s=None, frame_s=1.0, **rule) -> list[tuple]:
    stretches = find_stretches(Curve(np.array(scores), frame_s), StretchRule(**rule), duration_s)
    return [(each.start_s, each.stop_s, each.score) for each in stretches]


def test_stretch_needs_high_once_and_low_throughout():
    scores = [0, 0.3, 0.6, 0.3, 0.2, 0.4, 0.4, 0, 0.25, 0.5]
    assert find(scores) == [(1, 4, 0.6), (8, 10, 0.5)]
    assert find([0.3] * 5) == [] == find([])
    assert find([0.7, 0.6]) == [(0, 2, 0.7)]


def test_short_gaps_are_filled_and_then_short_sounds_dropped():
    scores = [0.9, 0, 0.9, 0, 0, 0.9, 0]
    assert find(scores, shortest_gap_s=2) == [(0, 3, 0.9), (5, 6, 0.9)]
    assert find(scores, shortest_gap_s=2, shortest_s=3) == [(0, 3, 0.9)]
    assert find(scores, frame_s=0.1, shortest_gap_s=0.2, shortest_s=0.3)[0][1] == pytest.approx(0.3)


def test_padding_stays_in_the_track_and_joins_what_touches():
    scores = [0.8, 0, 0, 0.9, 0, 0, 0]
    assert find(scores, pad_s=0.5) == [(0, 1.5, 0.8), (2.5, 4.5, 0.9)]
    assert find(scores, pad_s=1) == [(0, 5, 0.9)]
    assert find([0, 0.9], duration_s=1.4, pad_s=1) == [(0, 1.4, 0.9)]
    # A last row that reaches beyond the track's end ends with the track.
    assert find([0, 0.9], duration_s=1.4) == [(1, 1.4, 0.9)]


def test_smoothing_by_median_drops_spikes_and_by_box_averages():
    scores = [0, 0, 0.9, 0, 0, 0.9, 0.8, 0.9]
    assert find(scores, smooth_s=3) == [(5, 8, 0.9)]
    assert find([0, 0, 0.9, 0, 0], smooth="box", smooth_s=3, high=0.3, low=0.2) == [
        (1, 4, pytest.approx(0.3))
    ]


def test_score_top_is_the_mean_of_the_highest_quarter():
    scores = [0.5, 0.6, 0.7, 0.8, 0.9, 0.5, 0.5, 0.5]
    assert find(scores, score="top") == [(0, 8, pytest.approx(0.85))]
    assert find([0.6, 0.5], score="top") == [(0, 2, 0.6)]


@pytest.mark.parametrize(
    "wrong", [{"low": 0.6}, {"pad_s": -1}, {"smooth_s": np.inf}, {"smooth": "mean"}]
)
def test_rule_refuses_numbers_that_make_no_sense(wrong):
    with pytest.raises(RequestError):
        StretchRule(**wrong)


def test_presence_share_counts_overlaps_once_and_presence_score_ranks_absent_tracks():
    stretches = [Stretch(2, 4, 0.5), Stretch(3, 5, 0.5), Stretch(9, 12, 0.5)]
    assert presence_share(stretches, 10) == pytest.approx(0.4)
    assert presence_share(stretches[::-1], 10) == pytest.approx(0.4), "in any order"
    assert presence_share([], 10) == presence_share(stretches, 0) == 0
    assert presence_score(Curve(np.array([0.1, 0.4, 0.1, 0.2, 0.2]), 1), StretchRule()) == 0.4
    assert presence_score(Curve(np.array([0.1, 0.4, 0.1]), 1), StretchRule(smooth_s=3)) == 0.1
    assert presence_score(Curve(np.zeros(0), 1), StretchRule()) == 0


rules = st.builds(
    StretchRule,
    high=st.floats(0.3, 0.9),
    low=st.floats(0, 0.3),
    smooth=st.sampled_from(["median", "box"]),
    smooth_s=st.floats(0, 3),
    shortest_s=st.floats(0, 3),
    shortest_gap_s=st.floats(0, 3),
    pad_s=st.floats(0, 3),
    score=st.sampled_from(["max", "top"]),
)
curves = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40)


@examples(60)
@given(scores=curves, rule=rules)
def test_stretches_are_in_order_apart_and_inside_the_track(scores, rule):
    found = find_stretches(Curve(np.array(scores, np.float32), 0.3125), rule)
    end_s = len(scores) * 0.3125
    times_s = [time_s for each in found for time_s in (each.start_s, each.stop_s)]
    assert times_s == sorted(set(times_s)) and all(0 <= x <= end_s for x in times_s)
