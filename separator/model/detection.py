"""Define the results of a detector, and the interface that all detectors share.

Shapes: C channels, T samples, N rows in time, K classes, D features.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from separator.audio.level import LOUDEST
from separator.audio.spans import Span, check_rate
from separator.errors import AudioError
from separator.model.track import check_samples


@dataclass(frozen=True)
class Detection:
    """The findings of a detector in a track: scores 0..1 for each of its labels.

    Row i of `framewise` covers `i * frame_s .. (i + 1) * frame_s`; `clipwise` is about the whole
    track; `latent` is the embedding that a zero-shot separator takes as its condition.
    """

    framewise: np.ndarray  # (N, K)
    frame_s: float
    clipwise: np.ndarray  # (K,)
    latent: np.ndarray  # (D,)

    def __post_init__(self) -> None:
        assert self.framewise.shape[1:] == self.clipwise.shape, self.framewise.shape
        assert len(self.framewise) and self.frame_s > 0 and self.latent.ndim == 1, self.frame_s


@dataclass(frozen=True)
class SpanScores:
    """The scores of the rows of a track that begin in the core of one span."""

    framewise: np.ndarray  # (N, K)
    frame_s: float
    start_s: float  # of the first row, in the track


class SoundDetector(Protocol):
    """Name sounds and say when they are heard."""

    labels: tuple[str, ...]
    device: torch.device
    context_s: Fraction  # the sound on either side on which a row depends

    @property
    def latent_size(self) -> int:
        """The number of values of an embedding."""
        ...

    def to(self, device: str | torch.device, precision: str) -> "SoundDetector":
        """Return the detector on a device."""
        ...

    def detect(self, waveform: np.ndarray | Tensor, rate_hz: int) -> Detection:
        """Detect the sounds of a track (C, T) of any rate and length."""
        ...

    def detect_span(self, samples_CT: Tensor, rate_hz: int, span: Span) -> SpanScores:
        """Score the rows that begin in the core of a span of a track."""
        ...


def average_channels(samples_CT: Tensor, rate_hz: int) -> Tensor:
    """Check the samples of a track and return the mean of its channels (T,).

    Samples that are louder than any sound are limited, so that the rest of the track is heard.
    """
    check_rate(rate_hz)
    check_samples(samples_CT)
    if samples_CT.shape[1] == 0:
        raise AudioError("waveform has no samples: nothing can be detected in it")
    return samples_CT.double().mean(0).float().clamp_(-LOUDEST, LOUDEST)
