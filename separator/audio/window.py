"""Choose the stretch of a track that a preview plays. Pure functions on envelopes.

An envelope holds the energy of each FRAME_S of a stem.
"""

from collections.abc import Iterable, Sequence

import numpy as np

FRAME_S = 0.1
WHOLE_S = 30.0  # shorter tracks are played whole
MIN_S = 10.0
AROUND_S = 2.0  # before and after a stretch of presence

Times = tuple[float, float]  # start and stop in seconds


class EnvelopeMeter:
    """Measure the envelope of blocks (C, T) as they come, in the memory of the envelope alone."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._rest = np.zeros(0, np.float64)
        self._num_frames = self._start = 0  # `_start`: the sample at which the rest begins
        self._frames: list[np.ndarray] = []
        self._peaks: list[np.ndarray] = []

    def add(self, block_CT: np.ndarray) -> None:
        energy_T = np.r_[self._rest, np.square(block_CT, dtype=np.float64).mean(0)]
        num_frames = int((self._start + len(energy_T)) / self.rate_hz / FRAME_S + 1e-9)
        # At 11,025 Hz a frame is 1,102.5 samples: frames of two lengths take turns.
        edges = np.arange(self._num_frames, num_frames + 1) * (self.rate_hz * FRAME_S)
        edges = np.round(edges).astype(int) - self._start
        if len(edges) > 1:
            energies = np.add.reduceat(energy_T[: edges[-1]], edges[:-1])
            self._frames.append(energies / np.diff(edges))
            self._peaks.append(np.sqrt(np.maximum.reduceat(energy_T[: edges[-1]], edges[:-1])))
        self._rest = energy_T[edges[-1] :]
        self._num_frames, self._start = num_frames, self._start + int(edges[-1])

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the envelope and the largest value of each of its frames."""
        if len(self._rest):
            self._frames.append(self._rest.mean(keepdims=True))
            self._peaks.append(np.sqrt(self._rest.max(keepdims=True)))
        empty = np.zeros(0)
        return np.concatenate([empty, *self._frames]), np.concatenate([empty, *self._peaks])


def choose_window(envelope: np.ndarray, duration_s: float, spans: Sequence[Times] | None) -> Times:
    """Choose 10 to 30 s around the loudest presence, or around the loudest part.

    `spans`: the presence; None if it was not measured. Tracks of up to 30 s are played whole.
    """
    if duration_s <= WHOLE_S or not len(envelope):
        return 0.0, duration_s
    inside = _mark(len(envelope), spans or [])
    if not inside.any():
        inside[:] = True
    loudest_s = float(np.argmax(np.where(inside, envelope, -1.0)) + 0.5) * FRAME_S
    around = [span for span in spans or [] if span[0] <= loudest_s <= span[1]]
    start_s, stop_s = around[0] if around else (loudest_s, loudest_s)
    if stop_s - start_s > WHOLE_S - 2 * AROUND_S:  # the loudest part of a long stretch
        start_s, stop_s = loudest_s - WHOLE_S / 2 + AROUND_S, loudest_s + WHOLE_S / 2 - AROUND_S
    start_s, stop_s = start_s - AROUND_S, stop_s + AROUND_S
    missing_s = max(0.0, MIN_S - (stop_s - start_s))
    return _fit(start_s - missing_s / 2, stop_s + missing_s / 2, duration_s)


def _mark(num_frames: int, spans: Iterable[Times]) -> np.ndarray:
    inside = np.zeros(num_frames, bool)
    for start_s, stop_s in spans:
        inside[int(start_s / FRAME_S) : int(np.ceil(stop_s / FRAME_S))] = True
    return inside


def _fit(start_s: float, stop_s: float, duration_s: float) -> Times:
    """Move a window into the track."""
    moved_s = max(0.0, -start_s) - max(0.0, stop_s - duration_s)
    start_s = max(0.0, start_s + moved_s)
    return round(start_s, 3), round(min(duration_s, stop_s + moved_s), 3)
