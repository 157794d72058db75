"""Notes of spans, joined, give the stretches of the whole curve."""

import numpy as np
import pytest

from separator.detect.heard import (
    find_near,
    hear,
    join_heard,
    list_presence,
    smooth_curve,
)
from separator.detect.stretches import Curve, StretchRule, find_stretches, presence_score
from separator.rows import Heard

FRAME_S = 0.08
RULE = StretchRule(0.5, 0.25, smooth_s=0.4, shortest_gap_s=1.0, shortest_s=0.3)


def make_curve(seed: int, num_rows: int = 600) -> Curve:
    """Bumps of many heights and lengths, some wider than a span."""
    rng = np.random.default_rng(seed)
    scores_N = np.convolve(rng.random(num_rows) ** 6, np.hanning(15) / 4, "same")
    scores_N[100:260] = 0.6 + 0.1 * rng.random(160)
    return Curve(np.clip(scores_N, 0, 1), FRAME_S)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("span_rows", [4, 37, 600])
def test_joined_notes_give_the_stretches_of_the_whole_curve(seed, span_rows):
    curve = make_curve(seed)
    num_rows, duration_s = len(curve.scores), len(curve.scores) * FRAME_S - 0.03
    parts = []
    for first in range(0, num_rows, span_rows):
        stop, margin = min(num_rows, first + span_rows), 5
        wide = slice(max(0, first - margin), min(num_rows, stop + margin))
        part = Curve(curve.scores[wide], FRAME_S, wide.start * FRAME_S)
        core = first * FRAME_S, stop * FRAME_S
        parts.append(hear(smooth_curve(part, RULE), RULE, core, "classes"))
    heard = join_heard(parts)
    assert heard is not None
    found = list_presence(heard, RULE, duration_s)
    wanted = find_stretches(curve, RULE, duration_s)
    assert len(wanted) > 1 and len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert (a.start_s, a.stop_s, a.score) == pytest.approx((b.start_s, b.stop_s, b.score))
    assert heard.score == pytest.approx(presence_score(curve, RULE))


def test_a_track_with_a_span_that_nothing_listened_to_has_no_notes():
    heard = Heard("classes", 0.9, ((0.0, 1.0, 0.9),))
    assert join_heard([heard, None]) is None and join_heard([]) is None
    assert join_heard([heard]) == heard


def test_a_gate_is_open_around_rows_that_reach_the_threshold():
    scores_N = np.zeros(100)
    scores_N[[20, 22, 60]] = 0.5
    scores_N[90] = 0.49
    found = find_near(Curve(scores_N, 0.1, 5.0), 0.5, 1.0)
    assert found == [pytest.approx((6.0, 8.3)), pytest.approx((10.0, 12.1))]
    assert find_near(Curve(scores_N, 0.1), 0.6, 1.0) == []
