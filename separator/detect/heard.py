"""Find in each span where a query is heard, and join the findings of a track. Pure.

The findings of a span are runs of rows that reach the low threshold, with the highest score of each
run. Runs can be joined exactly, and the stretches of a track are made from the joined runs, so they
do not depend on where the track was cut.
"""

from collections.abc import Sequence

import numpy as np

from separator.audio.window import Times
from separator.detect.stretches import Curve, Stretch, StretchRule, count_rows, find_runs, smooth
from separator.rows import Heard

TOUCHING_S = 1e-6


def smooth_curve(curve: Curve, rule: StretchRule) -> Curve:
    width = count_rows(rule.smooth_s, curve.frame_s)
    return Curve(smooth(curve.scores, rule.smooth, width), curve.frame_s, curve.start_s)


def hear(curve: Curve, rule: StretchRule, core: Times, by: str) -> Heard:
    """Find the runs of a smoothed curve among the rows that begin in the core of a span."""
    start_N = curve.start_s + np.arange(len(curve.scores)) * curve.frame_s
    in_core_N = (start_N >= core[0] - TOUCHING_S) & (start_N < core[1] - TOUCHING_S)
    scores_N, start_N = curve.scores[in_core_N], start_N[in_core_N]
    runs = [
        (
            float(start_N[first]),
            float(start_N[stop - 1] + curve.frame_s),
            float(scores_N[first:stop].max()),
        )
        for first, stop in find_runs(scores_N, rule.low, rule.low)
    ]
    return Heard(by, float(scores_N.max(initial=0.0)), tuple(runs))


def join_heard(parts: Sequence[Heard | None]) -> Heard | None:
    """Join the findings of a track's spans, in their order; None if a span was not listened to.

    Runs that meet at a border become one.
    """
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    joined: list[tuple[float, float, float]] = []
    for start_s, stop_s, score in (run for part in known for run in part.runs):
        if joined and start_s <= joined[-1][1] + TOUCHING_S:
            before = joined[-1]
            joined[-1] = (before[0], max(stop_s, before[1]), max(score, before[2]))
        else:
            joined.append((start_s, stop_s, score))
    return Heard(known[0].by, max(part.score for part in known), tuple(joined))


def list_presence(heard: Heard, rule: StretchRule, duration_s: float) -> list[Stretch]:
    """Make the stretches of a track: runs that reach the high threshold, without short gaps."""
    found: list[Stretch] = []
    for start_s, stop_s, score in heard.runs:
        if score < rule.high:
            continue
        if found and start_s - found[-1].stop_s < rule.shortest_gap_s - TOUCHING_S:
            before = found[-1]
            found[-1] = Stretch(before.start_s, stop_s, max(score, before.score))
        else:
            found.append(Stretch(start_s, stop_s, score))
    longer = (s for s in found if s.length_s >= rule.shortest_s - TOUCHING_S)
    return [Stretch(s.start_s, min(s.stop_s, duration_s), s.score) for s in longer]


def find_near(curve: Curve, least: float, pad_s: float) -> list[Times]:
    """List the stretches that are within `pad_s` of a row that reaches `least`."""
    start_N = curve.start_s + np.flatnonzero(curve.scores >= least) * curve.frame_s
    found: list[Times] = []
    for start_s in start_N:
        stop_s = float(start_s + curve.frame_s + pad_s)
        if found and start_s - pad_s <= found[-1][1] + TOUCHING_S:
            found[-1] = (found[-1][0], stop_s)
        else:
            found.append((float(start_s - pad_s), stop_s))
    return found
