"""Find when a sound is heard in a recording that holds nothing else. Pure.

Shapes: T samples, N rows in time.
"""

import numpy as np

from separator.audio.window import Times
from separator.detect.curves import LEVEL_FRAME_S, measure_frames
from separator.detect.stretches import Curve, StretchRule, find_stretches

HEARD_DB = -40.0  # relative to the loudest moment of a sound
SHORTEST_GAP_S = 1.0  # shorter pauses do not interrupt a sound


def find_active(sound_T: np.ndarray, rate_hz: int, start_s: float = 0.0) -> list[Times]:
    """Find the stretches in which a sound is at most 40 dB below its loudest 0.1 s."""
    power_N = measure_frames(sound_T[None], rate_hz)
    least = max(float(power_N.max(initial=0)) * 10 ** (HEARD_DB / 10), 1e-12)
    rule = StretchRule(least, least, shortest_gap_s=SHORTEST_GAP_S)
    curve = Curve(power_N, LEVEL_FRAME_S, start_s)
    found = find_stretches(curve, rule, start_s + len(sound_T) / rate_hz)
    return [(each.start_s, each.stop_s) for each in found]


def mark_rows(times: list[Times], num_rows: int, row_s: float) -> np.ndarray:
    """Return for each row (N,) whether most of it lies in one of the stretches."""
    is_active_N = np.zeros(num_rows, bool)
    for start_s, stop_s in times:
        first, last = (max(0, int(np.floor(t / row_s + 0.5))) for t in (start_s, stop_s))
        is_active_N[first:last] = True
    return is_active_N
