"""Test the metrics against fast_bss_eval and cases with known answers."""

import fast_bss_eval
import museval
import numpy as np
import pytest

from separator.audio.metrics import (
    compute_level_db,
    compute_quieting_db,
    compute_sdr_db,
    compute_sdri_db,
    compute_si_sdr_db,
    compute_window_sdr_db,
    take_median,
)
from separator.errors import AudioError


def make_pair(seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.standard_normal((3, 16_000))
    return target, 0.7 * target + noise * rng.standard_normal(target.shape)


@pytest.mark.parametrize("noise", [0.01, 0.3, 3.0])
def test_si_sdr_equals_fast_bss_eval(noise):
    target, estimate = make_pair(0, noise)
    # By definition no filter is allowed and no mean removed.
    outside = fast_bss_eval.si_sdr(target[:, None], estimate[:, None], zero_mean=False)
    np.testing.assert_allclose(compute_si_sdr_db(estimate, target), np.ravel(outside), atol=1e-4)


def test_sdr_is_ratio_of_energies():
    target = np.ones(100)
    assert compute_sdr_db(1.1 * target, target) == pytest.approx(20, abs=1e-6)
    assert compute_sdr_db(0 * target, target) == pytest.approx(0, abs=1e-6)
    assert compute_sdr_db(target, target) > 90


def test_sdr_depends_on_scale_and_si_sdr_does_not():
    target, estimate = make_pair(1, 0.1)
    np.testing.assert_allclose(
        compute_si_sdr_db(0.25 * estimate, target), compute_si_sdr_db(estimate, target), atol=1e-3
    )
    assert (compute_sdr_db(0.25 * estimate, target) < compute_sdr_db(estimate, target)).all()


def test_sdri_of_the_mixture_is_zero():
    target, mixture = make_pair(2, 1.0)
    np.testing.assert_allclose(compute_sdri_db(mixture, target, mixture), 0)
    assert (compute_sdri_db(target, target, mixture) > 50).all()


def test_metrics_of_silence_are_finite():
    silence = np.zeros((2, 50), np.float32)
    for figures in (compute_sdr_db(silence, silence), compute_si_sdr_db(silence, silence)):
        assert np.isfinite(figures).all()
    assert compute_level_db(silence) == pytest.approx(-100)
    assert compute_level_db(np.full(50, 0.1)) == pytest.approx(-20)


def test_window_sdr_equals_museval():
    rng = np.random.default_rng(3)
    references = rng.standard_normal((2, 2, 7_500))
    references[1, :, 2_000:4_000] = 0  # one whole window
    estimates = 0.8 * references + 0.1 * rng.standard_normal(references.shape)
    estimates[0, :, 6_000:] = references[0, :, 6_000:] = 0  # behind the last whole window
    sdr, *_ = museval.evaluate(
        references.transpose(0, 2, 1), estimates.transpose(0, 2, 1), win=2_000, hop=2_000
    )
    ours = compute_window_sdr_db(estimates, references, 2_000)
    assert ours.shape == (2, 3) and np.isnan(ours[:, 1]).all()
    np.testing.assert_allclose(ours, sdr, rtol=1e-9)
    half = compute_window_sdr_db(estimates[..., :6_000], references[..., :6_000], 2_000, 1_000)
    assert half.shape == (2, 5)
    np.testing.assert_array_equal(half[:, ::2], ours)


def test_window_sdr_of_one_window_is_the_plain_ratio():
    target, estimate = (x[0] for x in make_pair(4, 0.3))
    plain_db = 10 * np.log10(np.sum(target**2) / np.sum((target - estimate) ** 2))
    pair = estimate[None, None], target[None, None]
    assert compute_window_sdr_db(*pair, len(target))[0, 0] == pytest.approx(plain_db, abs=1e-9)
    assert compute_window_sdr_db(pair[1], pair[1], len(target))[0, 0] == np.inf


def test_window_sdr_without_a_whole_window_is_empty_and_shapes_must_agree():
    assert compute_window_sdr_db(np.ones((2, 1, 9)), np.ones((2, 1, 9)), 10).shape == (2, 0)
    with pytest.raises(AudioError, match="one shape"):
        compute_window_sdr_db(np.ones((2, 1, 9)), np.ones((2, 1, 8)), 4)


def test_quieting_is_the_difference_of_levels_down_to_80_db():
    heard = np.full(100, 0.5)
    assert compute_quieting_db(heard, heard / 10) == pytest.approx(20)
    assert compute_quieting_db(np.ones(100), 0 * heard) == pytest.approx(80)
    assert compute_quieting_db(0 * heard, 0 * heard) == 0


def test_median_leaves_nan_out():
    assert take_median([1.0, float("nan"), 3.0, 2.0]) == 2
    assert np.isnan(take_median([float("nan")]))
