"""When a sound alone is heard."""

import numpy as np
import pytest

from separator.detect.activity import find_active, mark_rows

RATE_HZ = 8_000


def test_events_leave_out_long_pauses_only():
    sound_T = np.zeros(6 * RATE_HZ, np.float32)
    for start_s, stop_s in ((0.5, 1.0), (1.5, 2.0), (4.0, 5.0)):
        sound_T[round(start_s * RATE_HZ) : round(stop_s * RATE_HZ)] = 0.1
    assert find_active(sound_T, RATE_HZ, 10.0) == [
        (pytest.approx(10.5), pytest.approx(12.0)),
        (pytest.approx(14.0), pytest.approx(15.0)),
    ]
    assert find_active(np.zeros(RATE_HZ, np.float32), RATE_HZ) == []


def test_rows_are_active_that_lie_in_a_stretch_for_the_most_part():
    found = mark_rows([(-1.0, 0.19), (0.5, 0.91), (2.0, 3.0)], 10, 0.1)
    assert found.tolist() == [True] * 2 + [False] * 3 + [True] * 4 + [False]
