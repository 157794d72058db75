"""Compute SDR, SDRi and SI-SDR exactly as AudioSep's benchmark does: float32, its floors.

metrics.py has the same figures in float64. They differ for silence (there a floor is added to the
mean squares, here it is their least value), and where float32 ends, near 80 dB.

Shapes: T samples.
"""

import numpy as np

FLOOR = np.float32(1e-10)
EPSILON = np.finfo(np.float32).eps


def compute_official_sdr_db(estimate_T: np.ndarray, target_T: np.ndarray) -> float:
    """Compute 10 log10 of the target's mean square over that of the difference."""
    estimate_T, target_T = _as_float32(estimate_T, target_T)
    noise = np.clip(np.mean((estimate_T - target_T) ** 2), FLOOR, None)
    signal = np.clip(np.mean(target_T**2), FLOOR, None)
    return float(10.0 * np.log10(signal / noise))


def compute_official_sdri_db(
    estimate_T: np.ndarray, target_T: np.ndarray, mixture_T: np.ndarray
) -> float:
    """Compute the SDR of the estimate minus that of the mixture."""
    own = compute_official_sdr_db(estimate_T, target_T)
    return own - compute_official_sdr_db(mixture_T, target_T)


def compute_official_si_sdr_db(estimate_T: np.ndarray, target_T: np.ndarray) -> float:
    """Compute the SDR against the nearest multiple of the target, from sums instead of means."""
    estimate_T, target_T = _as_float32(estimate_T, target_T)
    scale = (EPSILON + np.dot(target_T, estimate_T)) / (np.dot(target_T, target_T) + EPSILON)
    scaled_T = scale * target_T
    signal = EPSILON + (scaled_T**2).sum()
    noise = EPSILON + ((estimate_T - scaled_T) ** 2).sum()
    return float(10.0 * np.log10(signal / noise))


def _as_float32(*signals: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(x, np.float32) for x in signals]
