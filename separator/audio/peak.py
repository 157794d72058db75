"""Measure the true peak of a track after ITU-R BS.1770-4 annex 2, between the samples too.

Shapes: C channels, T samples, N cells of samples, S stretches of cells, W samples that a cell is
interpolated from, P points between the samples of a cell.
"""

import functools
import math

import numpy as np

from separator.audio.format import AudioFormat

SILENCE_DBTP = -200.0
TAPS = 32  # samples from which each point between two samples is interpolated
CELL = 32
STRETCH = 8  # cells that are interpolated together
PIECE = 512 * CELL  # bounds the memory for long blocks
KAISER_BETA = 5.0


class TruePeak:
    """The highest true peak of a track's channels, added block by block.

    Samples are interpolated fourfold, from 96 kHz on twofold, from 192 kHz on not at all. The
    result does not depend on the sizes of the blocks, but for the last bits of float64.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        rate_hz, num_channels = audio_format.rate_hz, audio_format.num_channels
        self.factor = 4 if rate_hz < 96_000 else 2 if rate_hz < 192_000 else 1
        self._points_WP = design_interpolator(self.factor)
        self._most_gain = float(np.abs(self._points_WP).sum(0).max(initial=0.0))
        self._peak = 0.0
        # The track is preceded by silence.
        self._held_CT = np.zeros((num_channels, TAPS - 1))

    def add(self, block_CT: np.ndarray) -> None:
        """Take in the next samples of the track, any number of them."""
        assert block_CT.ndim == 2 and len(block_CT) == len(self._held_CT), block_CT.shape
        for at in range(0, block_CT.shape[1], PIECE):
            piece_CT = block_CT[:, at : at + PIECE]
            self._peak = join_peaks(self._peak, piece_CT)
            if self.factor > 1:
                held_CT = np.append(self._held_CT, piece_CT, 1)
                self._peak, num_done = self._interpolate(held_CT, self._peak)
                self._held_CT = held_CT[:, num_done:].copy()

    def peak(self) -> float:
        """Return the peak of all samples so far, followed by silence; more may be added.

        NaN if a sample is NaN.
        """
        if self.factor == 1:
            return self._peak
        # The last point needs samples after it, and the last cell must be full.
        silence_CT = np.zeros((len(self._held_CT), TAPS - 1 + CELL))
        return self._interpolate(np.concatenate([self._held_CT, silence_CT], 1), self._peak)[0]

    def peak_dbtp(self) -> float:
        """Return `peak` in decibels against full scale, at least SILENCE_DBTP."""
        peak = self.peak()
        return SILENCE_DBTP if peak <= 10 ** (SILENCE_DBTP / 20) else 20 * math.log10(peak)

    def _interpolate(self, samples_CT: np.ndarray, peak: float) -> tuple[float, int]:
        """Return the peak including points between `samples_CT`, and how many samples are done.

        All in float64: BLAS adds in another order for another number of rows or of threads, which
        is visible in float32.
        """
        num_cells = max(0, (samples_CT.shape[1] - TAPS + 1) // CELL)
        num_done = num_cells * CELL
        if not num_cells:
            return peak, 0
        # A point exceeds the samples around it, in its stretch and the next, by a bounded gain:
        # quiet stretches are skipped.
        together = STRETCH if num_cells % STRETCH == 0 else 1
        level_CT = np.abs(samples_CT)
        level_CS = level_CT[:, :num_done].reshape(len(level_CT), -1, together * CELL).max(-1)
        next_CS = np.append(level_CS[:, 1:], level_CT[:, num_done:].max(-1, keepdims=True), 1)
        wanted_CS = np.maximum(level_CS, next_CS) * self._most_gain > peak
        if wanted_CS.any():
            views_CTW = np.lib.stride_tricks.sliding_window_view(samples_CT, CELL + TAPS - 1, -1)
            views_CNW = views_CTW[:, :num_done:CELL]
            wanted_CN = wanted_CS.repeat(together, 1)
            peak = join_peaks(peak, views_CNW[wanted_CN] @ self._points_WP)
        return peak, num_done


def join_peaks(peak: float, samples: np.ndarray) -> float:
    if not samples.size:
        return peak
    # numpy's maximum keeps a NaN, Python's loses it; max and min need no copy, abs() does.
    return float(np.maximum(peak, np.maximum(samples.max(), -samples.min())))


@functools.cache
def design_interpolator(factor: int) -> np.ndarray:
    """Compute the weights (W, P) of the samples around a cell for the points inside it.

    Each point is a windowed sinc over 32 samples: the standard's example of 12 samples misses more
    of the frequencies close to half the rate.
    """
    points_WP = np.zeros((CELL + TAPS - 1, CELL, factor - 1))
    for phase in range(1, factor):
        away_T = np.arange(TAPS) - (TAPS // 2 - 1) - phase / factor
        window_T = np.i0(KAISER_BETA * np.sqrt(1 - (away_T / (TAPS // 2)) ** 2))
        taps_T = np.sinc(away_T) * window_T
        for at in range(CELL):
            # Weights that sum to 1 preserve a constant.
            points_WP[at : at + TAPS, at, phase - 1] = taps_T / taps_T.sum()
    return points_WP.reshape(CELL + TAPS - 1, -1)
