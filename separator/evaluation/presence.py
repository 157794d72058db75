"""Measure how well presence is found: F1 of events and of segments, and area under ROC. Pure.

The definitions of the field (sed_eval, as DCASE uses it):
- an event is found if a stretch of its kind begins within 0.3 s of it and ends within 0.3 s or half
  of its length, whichever is more; each event and each stretch is matched at most once, so that as
  many as possible are;
- time is cut into segments of 1 s; a segment that an event or a stretch touches is active;
- area under ROC: how often a track that holds a sound has a higher score than one that does not;
  equal scores count half.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from separator.audio.window import Times

COLLAR_S = 0.3
LENGTH_SHARE = 0.5
COVERED_SHARE = 0.5
SEGMENT_S = 1.0
EDGE = 1e-9  # tolerance for seconds that floats do not hold exactly


@dataclass(frozen=True)
class Counts:
    """Hits, false alarms and misses; the counts of several tracks can be added."""

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
        )

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall; NaN if all counts are zero."""
        total = 2 * self.hits + self.false_alarms + self.misses
        return 2 * self.hits / total if total else math.nan


def count_events(found: Sequence[Times], truth: Sequence[Times]) -> Counts:
    """Match the stretches found in a track with its true events."""
    fits = [[j for j, each in enumerate(found) if is_match(each, event)] for event in truth]
    hits = match_most(fits)
    return Counts(hits, len(found) - hits, len(truth) - hits)


def is_match(found: Times, event: Times) -> bool:
    """Tell whether a stretch begins and ends where an event does, within the tolerances."""
    tolerance_s = max(COLLAR_S, LENGTH_SHARE * (event[1] - event[0]))
    is_onset = abs(found[0] - event[0]) <= COLLAR_S + EDGE
    return is_onset and abs(found[1] - event[1]) <= tolerance_s + EDGE


def count_overlapping(found: Sequence[Times], truth: Sequence[Times]) -> Counts:
    """Count by overlap, as PSDS-eval does by default: a stretch counts if half of it is covered by
    events, and an event is found if half of it is covered by stretches that count."""
    good = [each for each in found if is_covered(each, truth)]
    hits = sum(is_covered(event, good) for event in truth)
    return Counts(hits, len(found) - len(good), len(truth) - hits)


def is_covered(times: Times, others: Sequence[Times]) -> bool:
    shared = sum(max(0.0, min(times[1], b) - max(times[0], a)) for a, b in others)
    return shared >= COVERED_SHARE * (times[1] - times[0]) - EDGE


def match_most(fits: Sequence[Sequence[int]]) -> int:
    """Count the pairs of the largest matching; `fits[i]` are the partners that i may have."""
    owner: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for j in fits[i]:
            if j in tried:
                continue
            tried.add(j)
            if j not in owner or place(owner[j], tried):
                owner[j] = i
                return True
        return False

    return sum(place(i, set()) for i in range(len(fits)))


def count_segments(found: Iterable[Times], truth: Iterable[Times], duration_s: float) -> Counts:
    """Compare the active segments of 1 s of a track."""
    is_found, is_true = (mark_segments(each, duration_s) for each in (found, truth))
    return Counts(
        int((is_found & is_true).sum()),
        int((is_found & ~is_true).sum()),
        int((~is_found & is_true).sum()),
    )


def mark_segments(times: Iterable[Times], duration_s: float) -> np.ndarray:
    """Return for each segment of a track whether one of the stretches touches it."""
    is_active = np.zeros(math.ceil(duration_s / SEGMENT_S - EDGE), bool)
    for start_s, stop_s in times:
        first = math.floor(start_s / SEGMENT_S + EDGE)
        is_active[first : math.ceil(stop_s / SEGMENT_S - EDGE)] = True
    return is_active


def area_under_roc(scores: Sequence[float], is_there: Sequence[bool]) -> float:
    """Compare each pair of a track with the sound and one without; NaN if there is no pair."""
    score_N, is_there_N = np.asarray(scores, np.float64), np.asarray(is_there, bool)
    num_there, num_absent = int(is_there_N.sum()), int((~is_there_N).sum())
    if not num_there or not num_absent:
        return math.nan
    _, inverse, counts = np.unique(score_N, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # equal scores share their mean rank
    rank_sum = mean_rank[inverse][is_there_N].sum()
    return float((rank_sum - num_there * (num_there + 1) / 2) / (num_there * num_absent))
