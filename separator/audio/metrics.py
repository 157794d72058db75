"""Compute the quality of a stem in decibels against its reference. Pure functions on arrays.

The definitions are those of AudioSep's benchmark: SDR is the plain ratio of signal to difference,
without any allowed distortion; SDRi is its gain over the mixture; SI-SDR first scales the target.

Shapes: T samples, any leading dimensions.
"""

import numpy as np

# -100 dB: keeps the figures of silence finite.
FLOOR = 1e-10


def compute_sdr_db(estimate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute 10 log10 of target energy over the energy of the difference; not scale-invariant."""
    target = target.astype(np.float64)
    error = np.square(target - estimate).mean(-1)
    return 10 * np.log10((np.square(target).mean(-1) + FLOOR) / (error + FLOOR))


def compute_sdri_db(estimate: np.ndarray, target: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Compute the SDR of the estimate minus the SDR of the unchanged mixture."""
    return compute_sdr_db(estimate, target) - compute_sdr_db(mixture, target)


def compute_si_sdr_db(estimate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute the SDR against the multiple of the target that is nearest to the estimate."""
    target, estimate = target.astype(np.float64), estimate.astype(np.float64)
    energy = np.square(target).sum(-1, keepdims=True)
    scaled = (estimate * target).sum(-1, keepdims=True) / (energy + FLOOR) * target
    error = np.square(estimate - scaled).mean(-1)
    return 10 * np.log10((np.square(scaled).mean(-1) + FLOOR) / (error + FLOOR))


def compute_level_db(x: np.ndarray) -> np.ndarray:
    """Compute the RMS level against full scale."""
    return 10 * np.log10(np.square(x.astype(np.float64)).mean(-1) + FLOOR)
