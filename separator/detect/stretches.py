"""Turn a curve of scores over time into the stretches in which something sounds. Pure functions.

A curve has one score for each row of `frame_s` seconds. The steps of `find_stretches`, in order:
smoothing; two thresholds; gaps that are too short are filled; stretches that are too short are
dropped; the others are padded, and those that then touch are merged.

Shapes: N rows in time, W rows of a smoothing window.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from separator.errors import RequestError

EDGE = 1e-9  # of a row: tolerance for seconds, which are not exact in floats


@dataclass(frozen=True)
class Curve:
    """Scores over time: row i covers `start_s + i * frame_s` up to the start of the next row."""

    scores: np.ndarray  # (N,)
    frame_s: float
    start_s: float = 0.0

    def __post_init__(self) -> None:
        assert self.scores.ndim == 1 and self.frame_s > 0, (self.scores.shape, self.frame_s)


@dataclass(frozen=True)
class Stretch:
    """A stretch of a track in which something sounds."""

    start_s: float
    stop_s: float
    score: float

    @property
    def length_s(self) -> float:
        return self.stop_s - self.start_s


@dataclass(frozen=True)
class StretchRule:
    """The parameters of `find_stretches`.

    A stretch is a run of rows that reach `low`, of which at least one reaches `high`. `smooth_s`
    is the width of the smoothing window; 0 smooths nothing. `score` says how to score a stretch:
    `max`, by its highest smoothed row, or `top`, by the mean of the highest quarter of its rows.
    """

    high: float = 0.5
    low: float = 0.25
    smooth: Literal["median", "box"] = "median"
    smooth_s: float = 0.0
    shortest_s: float = 0.0
    shortest_gap_s: float = 0.0
    pad_s: float = 0.0
    score: Literal["max", "top"] = "max"

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise RequestError(f"low={self.low} is above high={self.high}: give a low below it")
        lengths = (self.smooth_s, self.shortest_s, self.shortest_gap_s, self.pad_s)
        if not all(0 <= length < np.inf for length in lengths):
            raise RequestError(f"{self}: lengths must be seconds, none below 0")
        if self.smooth not in ("median", "box") or self.score not in ("max", "top"):
            raise RequestError(f"{self}: smooth is median or box, score is max or top")


def find_stretches(
    curve: Curve, rule: StretchRule, duration_s: float | None = None
) -> list[Stretch]:
    """Find the stretches of a curve, in order and apart from each other.

    `duration_s` is where the track ends: the last row may reach beyond it.
    """
    smooth_N = smooth(curve.scores, rule.smooth, count_rows(rule.smooth_s, curve.frame_s))
    runs = find_runs(smooth_N, rule.high, rule.low)
    runs = fill_gaps(runs, rule.shortest_gap_s / curve.frame_s)
    shortest = rule.shortest_s / curve.frame_s
    runs = [(start, stop) for start, stop in runs if stop - start >= shortest - EDGE]
    first_s = curve.start_s
    last_s = first_s + len(curve.scores) * curve.frame_s if duration_s is None else duration_s
    padded = [
        (
            max(first_s, first_s + start * curve.frame_s - rule.pad_s),
            min(last_s, first_s + stop * curve.frame_s + rule.pad_s),
            smooth_N[start:stop],
        )
        for start, stop in runs
    ]
    return [
        Stretch(start_s, stop_s, score_rows(rows_N, rule.score))
        for start_s, stop_s, rows_N in merge_padded(padded)
        if stop_s > start_s
    ]


def count_rows(seconds: float, frame_s: float) -> int:
    """Return the odd number of rows that is nearest to a window's length; at least 1."""
    return max(1, 2 * round((seconds / frame_s - 1) / 2) + 1)


def smooth(scores_N: np.ndarray, how: str, width: int) -> np.ndarray:
    """Take the median or the mean of `width` rows around each; the ends of the curve repeat."""
    if width == 1 or not len(scores_N):
        return scores_N
    padded = np.pad(scores_N, width // 2, mode="edge")
    windows_NW = np.lib.stride_tricks.sliding_window_view(padded, width)
    return np.median(windows_NW, -1) if how == "median" else windows_NW.mean(-1)


def find_runs(scores_N: np.ndarray, high: float, low: float) -> list[tuple[int, int]]:
    """List runs of rows `start..stop` that reach `low` and at least once `high`."""
    bounds = np.flatnonzero(np.diff(np.concatenate([[False], scores_N >= low, [False]])))
    runs = [(int(start), int(stop)) for start, stop in bounds.reshape(-1, 2)]
    return [(start, stop) for start, stop in runs if scores_N[start:stop].max() >= high]


def fill_gaps(runs: Sequence[tuple[int, int]], shortest: float) -> list[tuple[int, int]]:
    """Join runs with fewer than `shortest` rows between them."""
    joined: list[tuple[int, int]] = []
    for start, stop in runs:
        if joined and start - joined[-1][1] < shortest - EDGE:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def merge_padded(
    padded: Sequence[tuple[float, float, np.ndarray]],
) -> list[tuple[float, float, np.ndarray]]:
    """Merge stretches that touch; a merged stretch has the rows of both, without the padding."""
    merged: list[tuple[float, float, np.ndarray]] = []
    for start_s, stop_s, rows_N in padded:
        if merged and start_s <= merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], stop_s, np.concatenate([before[2], rows_N]))
        else:
            merged.append((start_s, stop_s, rows_N))
    return merged


def score_rows(rows_N: np.ndarray, how: str) -> float:
    """Return the highest of the rows, or the mean of their highest quarter, at least one row."""
    if how == "max":
        return float(rows_N.max())
    return float(np.sort(rows_N)[-max(1, len(rows_N) // 4) :].mean())


def presence_share(stretches: Iterable[Stretch], duration_s: float) -> float:
    """Return the share 0..1 of a track that its stretches cover; 0 for a track of no length."""
    if duration_s <= 0:
        return 0.0
    covered_s, reached_s = 0.0, 0.0
    for stretch in sorted(stretches, key=lambda each: each.start_s):
        stop_s = min(stretch.stop_s, duration_s)
        covered_s += max(0.0, stop_s - max(stretch.start_s, reached_s))
        reached_s = max(reached_s, stop_s)
    return min(1.0, covered_s / duration_s)


def presence_score(curve: Curve, rule: StretchRule) -> float:
    """Return the highest row of the smoothed curve: it ranks tracks without any stretch, too."""
    if not len(curve.scores):
        return 0.0
    width = count_rows(rule.smooth_s, curve.frame_s)
    return float(smooth(curve.scores, rule.smooth, width).max())
