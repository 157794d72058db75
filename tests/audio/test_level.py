"""Test the loudest stretch against an exhaustive search."""

import numpy as np
import pytest

from separator.audio.level import find_loudest


@pytest.mark.parametrize("num_samples", [1, 30, 500, 3_999])
def test_find_loudest_is_close_to_exhaustive_search(num_samples):
    rng = np.random.default_rng(num_samples)
    for _ in range(20):
        envelope_T = np.convolve(rng.random(4_000) ** 8, np.hanning(200), "same")
        samples_CT = (rng.standard_normal((2, 4_000)) * envelope_T).astype(np.float32)
        found = find_loudest(samples_CT, num_samples)
        assert found.stop - found.start == num_samples and 0 <= found.start <= found.stop <= 4_000
        total = np.concatenate([[0], np.square(samples_CT, dtype=float).sum(0).cumsum()])
        best = (total[num_samples:] - total[:-num_samples]).max()
        assert total[found.stop] - total[found.start] >= 0.85 * best


@pytest.mark.parametrize("length", [0, 1, 7])
def test_find_loudest_returns_short_array_whole(length):
    assert find_loudest(np.ones((1, length), np.float32), 7) == slice(0, length)


def test_find_loudest_reaches_the_last_sample():
    samples_CT = np.zeros((1, 100_003), np.float32)
    samples_CT[0, -1] = 1
    found = find_loudest(samples_CT, 1_000)
    assert found.start > 98_000 and found.stop <= 100_003
