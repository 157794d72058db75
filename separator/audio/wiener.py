"""Divide a mixture among its stems by one step of a Wiener filter over all of them. Pure.

The result is that of open-unmix's filter with one iteration and a soft mask for one channel, in
closed form. A stem depends on the other stems' magnitudes.

Shapes: S stems, N frames, F bins.
"""

import numpy as np

EPSILON = 1e-9
SCALE = 8.0


def filter_jointly(mixture_NF: np.ndarray, magnitudes_SNF: np.ndarray) -> np.ndarray:
    """Compute the spectra (S, N, F) of stems from the mixture's and from estimated magnitudes."""
    mixture_NF = mixture_NF.astype(np.complex128)
    scale = max(1.0, float(np.abs(mixture_NF).max(initial=0)) / SCALE)
    shares_SNF = magnitudes_SNF / (EPSILON + magnitudes_SNF.sum(0, dtype=np.float64))
    power_SNF = np.square(np.abs(mixture_NF / scale) * shares_SNF)
    total_S1F = power_SNF.sum(1, keepdims=True)
    power_SNF *= total_S1F / (EPSILON + total_S1F)  # the weighted covariance of one channel
    return mixture_NF * power_SNF / (np.sqrt(EPSILON) + power_SNF.sum(0))
