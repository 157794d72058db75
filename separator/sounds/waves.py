"""Compute many partials quickly: struck ones that decay, and tables of steady ones.

Shapes: T samples, P partials, L brightness levels, S samples of one period.
"""

import numpy as np

PERIOD = 8_192
BLOCK = 256


def ring(
    freq_hz_P: np.ndarray,
    t60_s_P: np.ndarray | float,
    level_P: np.ndarray,
    num_samples: int,
    rate_hz: int,
) -> np.ndarray:
    """Sum sines that decay by 60 dB in their `t60_s`; those near half the rate are left out.

    A complex level sets the phase at the start. A partial is z**(256 a + b): one
    matrix product instead of a sine for each sample.
    """
    heard = freq_hz_P < 0.47 * rate_hz
    if num_samples <= 0 or not heard.any():
        return np.zeros(max(0, num_samples))
    t60 = np.broadcast_to(t60_s_P, freq_hz_P.shape)[heard]
    per_sample = (2j * np.pi * freq_hz_P[heard] - np.log(1_000) / t60) / rate_hz
    num_blocks = -(-num_samples // BLOCK)
    within_PB = np.exp(per_sample[:, None] * np.arange(BLOCK)).astype(np.complex64)
    starts_AP = np.exp(np.arange(num_blocks)[:, None] * BLOCK * per_sample) * level_P[heard]
    summed_AB = starts_AP.astype(np.complex64) @ within_PB
    return summed_AB.imag.reshape(-1)[:num_samples].astype(float)


def make_tables(levels_LP: np.ndarray, phase_P: np.ndarray | None = None) -> np.ndarray:
    """Compute one period (L, S) of harmonics with given levels, for each of L rows."""
    num_rows, num_partials = levels_LP.shape
    spectrum = np.zeros((num_rows, PERIOD // 2 + 1), complex)
    spectrum[:, 1 : num_partials + 1] = -1j * levels_LP
    if phase_P is not None:
        spectrum[:, 1 : num_partials + 1] *= np.exp(1j * phase_P)
    return np.fft.irfft(spectrum, PERIOD, axis=1) * (PERIOD / 2)


def read_tables(
    tables_LS: np.ndarray, phase_T: np.ndarray, row_T: np.ndarray | None = None
) -> np.ndarray:
    """Read tables at a phase in cycles, blended between rows; `row_T` goes from 0 to L - 1."""
    at = (phase_T * PERIOD).astype(np.int64) % PERIOD
    if row_T is None:
        return tables_LS[0][at]
    row = np.minimum(row_T.astype(np.int64), len(tables_LS) - 2)
    blend = row_T - row
    flat, at = tables_LS.ravel(), at + row * PERIOD
    return flat[at] * (1 - blend) + flat[at + PERIOD] * blend
