"""Test the metrics against fast_bss_eval and cases with known answers."""

import fast_bss_eval
import numpy as np
import pytest

from separator.audio.metrics import (
    compute_level_db,
    compute_sdr_db,
    compute_sdri_db,
    compute_si_sdr_db,
)


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
