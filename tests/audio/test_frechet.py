"""The Fréchet distance equals its closed forms, and the definition with a root of a matrix."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from separator.audio.frechet import compute_frechet_distance
from separator.errors import AudioError

RNG = np.random.default_rng(0)


def compute_by_root(first: np.ndarray, second: np.ndarray) -> float:
    one, other = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    gap = first.mean(0) - second.mean(0)
    root = np.real(sqrtm((one @ other).astype(complex)))
    return float(gap @ gap + np.trace(one + other - 2 * root))


def test_distance_equals_the_definition_with_a_root_of_a_matrix():
    first = RNG.standard_normal((400, 12)) @ RNG.standard_normal((12, 12)) + 1
    second = RNG.standard_normal((300, 12)) @ RNG.standard_normal((12, 12))
    expected = compute_by_root(first, second)
    assert expected > 10
    assert compute_frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)
    assert compute_frechet_distance(second, first) == pytest.approx(expected, rel=1e-9)


def test_distance_of_one_dimension_is_that_of_means_and_deviations():
    first, second = RNG.normal(3, 2, (50, 1)), RNG.normal(-1, 0.5, (40, 1))
    expected = (first.mean() - second.mean()) ** 2 + (first.std(ddof=1) - second.std(ddof=1)) ** 2
    assert compute_frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


def test_equal_sets_have_distance_0_and_moved_ones_the_square_of_the_way():
    few = RNG.standard_normal((5, 64)).astype(np.float32)  # fewer sounds than dimensions
    assert compute_frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    assert compute_frechet_distance(few, few[::-1] + 2) == pytest.approx(4 * 64, rel=1e-6)


def test_sets_that_cannot_be_compared():
    assert np.isnan(compute_frechet_distance(np.ones((1, 3)), np.ones((5, 3))))
    with pytest.raises(AudioError, match="equally many columns"):
        compute_frechet_distance(np.ones((5, 3)), np.ones((5, 4)))
