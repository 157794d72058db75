"""Detect queries: three ways from samples to one curve of scores for each query.

- `ByClasses`: the classes of a detector that was trained to name sounds. It is the best way if a
  query is one of the classes, and knows nothing else. Its rows are as long as the detector's.
- `BySimilarity`: how close an encoder's embedding of a moving window is to the condition of a
  query. It takes any text and example sounds, but is weak if several sounds are mixed, because a
  window has one embedding, and blurred to the window's 2 s. A cosine is no probability without a
  calibration.
- `FromStem`: where a separated stem stands out of its mixture. It takes any query and is fine in
  time, but comes after separation and is only as good as the stem: leakage counts as presence.

Shapes: C channels, T samples, N rows in time, K classes, D condition.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch

from separator.audio.spans import Span, cut_spans
from separator.detect.stretches import Curve
from separator.errors import AudioError
from separator.model.detection import SoundDetector

GRID_S = Fraction(1)  # of spans: a whole number of samples at every rate
SPAN_S = 120.0
WINDOW_S, HOP_S = 2.0, 0.5
LEVEL_FRAME_S = 0.1
SILENT_DB = -60.0  # dBFS: below, nothing is heard


@dataclass(frozen=True)
class Calibration:
    """A logistic curve from a cosine to a probability: `1 / (1 + exp(-(slope * x + offset)))`."""

    slope: float
    offset: float

    def apply(self, cosine_N: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(self.slope * cosine_N + self.offset)))


class ByClasses:
    """Score queries by the classes of a detector; of several classes the highest counts."""

    def __init__(self, detector: SoundDetector, classes: Mapping[str, Sequence[str]]) -> None:
        self.detector = detector
        self.columns = {
            query: [detector.labels.index(label) for label in labels]
            for query, labels in classes.items()
        }
        assert all(self.columns.values()), classes

    def measure(self, samples_CT: np.ndarray, rate_hz: int) -> dict[str, Curve]:
        found = self.detector.detect(samples_CT, rate_hz)
        return self._combine(found.framewise, found.frame_s, 0.0)

    def measure_span(self, samples_CT: torch.Tensor, rate_hz: int, span: Span) -> dict[str, Curve]:
        """Score the rows that begin in the core of a span; `samples_CT` are all of its samples."""
        found = self.detector.detect_span(samples_CT, rate_hz, span)
        return self._combine(found.framewise, found.frame_s, found.start_s)

    def _combine(
        self, framewise_NK: np.ndarray, frame_s: float, start_s: float
    ) -> dict[str, Curve]:
        return {
            query: Curve(framewise_NK[:, columns].max(1), frame_s, start_s)
            for query, columns in self.columns.items()
        }


class AudioSide(Protocol):
    """The audio side of an encoder (encoders/similarity.py)."""

    def encode_audio(self, waveform_CT: np.ndarray, rate_hz: int) -> np.ndarray:
        """Return the embedding (D,) of a sound, of length 1."""
        ...


class BySimilarity:
    """Score queries by the cosine of their conditions and of moving windows' embeddings.

    With a calibration a score is a probability, and a silent window scores 0. Without one it is
    the cosine, -1 for silence.
    """

    def __init__(
        self,
        encoder: AudioSide,
        conditions: Mapping[str, np.ndarray],
        calibrations: Mapping[str, Calibration] | None = None,
    ) -> None:
        self.encoder, self.conditions = encoder, conditions
        self.calibrations = calibrations or {}

    def measure(self, samples_CT: np.ndarray, rate_hz: int) -> dict[str, Curve]:
        num_samples = samples_CT.shape[1]
        return self.measure_span(
            samples_CT, rate_hz, Span(0, num_samples, 0, num_samples, num_samples)
        )

    def measure_span(self, samples_CT: np.ndarray, rate_hz: int, span: Span) -> dict[str, Curve]:
        """Score the rows that begin in the core of a span; `samples_CT` are all of its samples."""
        rows, half_window = list_rows(span, rate_hz), WINDOW_S / 2 * rate_hz
        cosines = {query: np.full(len(rows), -1.0) for query in self.conditions}
        for i, row in enumerate(rows):
            middle_s = (row + 0.5) * HOP_S
            first, stop = (round(middle_s * rate_hz + d) for d in (-half_window, half_window))
            part_CT = samples_CT[:, max(0, first - span.start) : stop - span.start]
            if measure_level_db(part_CT) < SILENT_DB:
                continue
            embedding_D = self.encoder.encode_audio(part_CT, rate_hz)
            for query, condition_D in self.conditions.items():
                cosines[query][i] = embedding_D @ condition_D
        start_s = rows.start * HOP_S
        return {
            query: Curve(self._finish(query, x_N), HOP_S, start_s) for query, x_N in cosines.items()
        }

    def _finish(self, query: str, cosine_N: np.ndarray) -> np.ndarray:
        calibration = self.calibrations.get(query)
        if calibration is None:
            return cosine_N
        return np.where(cosine_N == -1.0, 0.0, calibration.apply(cosine_N))


def list_rows(span: Span, rate_hz: int) -> range:
    """Number the rows of 0.5 s of a track that begin in the core of a span."""
    first, stop = (
        math.ceil(at / rate_hz / HOP_S - 1e-9) for at in (span.core_start, span.core_stop)
    )
    return range(first, stop)


class FromStem:
    """Score queries by the share of their stem in the energy of each 0.1 s.

    0.5 says that a stem is as loud as all the rest, 0.1 that it is about 10 dB below it. Where a
    stem is below -60 dBFS the score is 0, so that silence is no presence. `stems` are (C, T) each.
    """

    def __init__(self, stems: Mapping[str, np.ndarray]) -> None:
        self.stems = stems

    def measure(self, samples_CT: np.ndarray, rate_hz: int) -> dict[str, Curve]:
        """Compare the stems with their mixture `samples_CT`."""
        return {
            query: Curve(share_energy(stem_CT, samples_CT, rate_hz), LEVEL_FRAME_S)
            for query, stem_CT in self.stems.items()
        }


def share_energy(
    stem_CT: np.ndarray, mixture_CT: np.ndarray, rate_hz: int, frame_s: float = LEVEL_FRAME_S
) -> np.ndarray:
    """Return stem / (stem + rest) in energy (N,), 0 where the stem is silent."""
    assert stem_CT.shape[1] == mixture_CT.shape[1], (stem_CT.shape, mixture_CT.shape)
    stem_N = measure_frames(stem_CT, rate_hz, frame_s)
    rest_N = measure_frames(mixture_CT.astype(np.float64) - stem_CT, rate_hz, frame_s)
    is_heard_N = stem_N >= 10 ** (SILENT_DB / 10)
    share_N = np.zeros(len(stem_N))
    np.divide(stem_N, stem_N + rest_N, out=share_N, where=is_heard_N)
    return share_N


def measure_frames(
    samples_CT: np.ndarray, rate_hz: int, frame_s: float = LEVEL_FRAME_S
) -> np.ndarray:
    """Return the mean square (N,) of each frame, over all channels; the last may be shorter."""
    num_samples = samples_CT.shape[1]
    num_rows = int(np.ceil(num_samples / rate_hz / frame_s - 1e-9))
    starts_N = np.round(np.arange(num_rows) * frame_s * rate_hz).astype(int)
    starts_N = starts_N[starts_N < num_samples]  # the last may be rounded up to the end
    if not len(starts_N):
        return np.zeros(0)
    energy_T = np.square(samples_CT, dtype=np.float64).mean(0)
    return np.add.reduceat(energy_T, starts_N) / np.diff(starts_N, append=num_samples)


def measure_level_db(samples_CT: np.ndarray) -> float:
    """Return the level in dBFS of the mean of the channels, which is what encoders hear."""
    power = np.square(samples_CT.mean(0, dtype=np.float64)).mean() if samples_CT.size else 0
    return 10 * float(np.log10(power)) if power > 0 else -np.inf


@dataclass(frozen=True)
class TrackScores:
    """The scores of a whole track for each class of a detector, its length and its peak."""

    framewise: np.ndarray  # (N, K)
    frame_s: float
    duration_s: float
    peak: float  # the largest absolute sample


def detect_blocks(
    detector: SoundDetector, blocks: Iterable[np.ndarray], rate_hz: int, span_s: float = SPAN_S
) -> TrackScores:
    """Detect in a track that comes in blocks (C, T), with the scores of `detect` on the whole.

    Memory holds one span with its context, and the scores: for 10 hours 83 MB with 46 classes every
    0.08 s, 240 MB with AudioSet's 527 every 0.31 s.
    """
    rows: list[np.ndarray] = []
    frame_s, num_samples, peak = 0.0, 0, 0.0
    context_s = Fraction(math.ceil(detector.context_s))
    for span, samples_CT, _ in cut_spans(blocks, rate_hz, span_s, context_s, GRID_S):
        found = detector.detect_span(torch.tensor(samples_CT), rate_hz, span)
        frame_s = found.frame_s
        rows.append(found.framewise)
        num_samples = span.core_stop
        peak = max(peak, float(np.abs(samples_CT).max()))
    if not rows:
        raise AudioError("the track holds no samples: nothing can be detected in it")
    return TrackScores(np.concatenate(rows), frame_s, num_samples / rate_hz, peak)
