"""AudioSep's figures are those of its own code, also for silence."""

import json

import numpy as np
import pytest

from separator.audio.audiosep_metrics import (
    compute_official_sdr_db,
    compute_official_sdri_db,
    compute_official_si_sdr_db,
)
from separator.audio.metrics import compute_sdr_db, compute_si_sdr_db
from tests.helpers.golden import FOLDER

GOLDEN = json.loads((FOLDER / "metrics.json").read_text())["audiosep_metrics"]


def make_cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Make (estimate, target) as the stored figures were made."""
    rng = np.random.Generator(np.random.PCG64(1))
    target, noise = ((0.1 * rng.standard_normal(16_000)).astype(np.float32) for _ in range(2))
    silent = np.zeros_like(target)
    return {
        "est": (target + np.float32(0.25) * noise, target),
        "mix": (target + noise, target),
        "half_gain": (np.float32(0.5) * target, target),
        "silent_estimate": (silent, target),
        "silent_reference": (np.float32(1e-3) * noise, silent),
        "both_silent": (silent, silent),
        "perfect": (target, target),
    }


@pytest.mark.parametrize("name", GOLDEN)
def test_sdr_and_si_sdr_are_those_of_the_official_code(name):
    estimate, target = make_cases()[name]
    # The stored figures have five digits; those near 85 dB are at the end of float32.
    close = pytest.approx(GOLDEN[name]["sdr"], abs=1e-5)
    assert compute_official_sdr_db(estimate, target) == close
    loose = 1e-5 if name not in ("half_gain", "perfect") else 0.05
    assert compute_official_si_sdr_db(estimate, target) == pytest.approx(
        GOLDEN[name]["si_sdr"], abs=loose
    )


def test_mixture_as_the_estimate_gains_exactly_nothing_and_the_target_stays_finite():
    for estimate, target in make_cases().values():
        assert compute_official_sdri_db(estimate, target, estimate) == 0
        assert np.isfinite(compute_official_sdr_db(target, target))
        assert np.isfinite(compute_official_si_sdr_db(target, target))


def test_both_precisions_agree_where_float32_suffices():
    estimate, target = make_cases()["est"]
    own = compute_official_sdr_db(estimate, target), compute_official_si_sdr_db(estimate, target)
    double = compute_sdr_db(estimate, target), compute_si_sdr_db(estimate, target)
    assert own == pytest.approx(double, abs=1e-5)
