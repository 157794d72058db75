"""Detect sounds with a `FrameNet`: scores every 0.08 s, of tracks of any rate and length.

A detector's file holds a threshold for each class: scores are shifted so that 0.5 is the threshold
of every class.

Shapes: C channels, T samples, N rows in time, K classes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from separator.audio.arrays import as_rate, as_tensor
from separator.audio.exact import computing, plain_torch
from separator.audio.resample import resample
from separator.audio.spans import Span, plan_spans
from separator.errors import AudioError, CheckpointMismatch
from separator.model.checkpoint import assign_weights
from separator.model.detection import Detection, SpanScores, average_channels
from separator.model.device import choose_device
from separator.model.frame_net import RATE_HZ, ROW, FrameNet, read_frame_config
from separator.model.tensors import (
    FORMAT,
    cast_floats,
    read_json,
    read_texts,
    take_prefixed,
    write_tensors,
)

ROW_S = Fraction(ROW, RATE_HZ)
# Rows on either side on which one row depends: 45 through the blocks, one through the layers before
# them, one through the window of the spectrum.
REACH = 47
SPAN_S = 120.0  # a long track is scored this much at a time
TENSORS = "frame_model."


class FrameDetector:
    """A loaded detector, for one thread at a time. `labels` name the columns of its scores."""

    context_s = REACH * ROW_S

    def __init__(
        self,
        net: FrameNet,
        labels: Sequence[str],
        thresholds: Sequence[float] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.labels = tuple(labels)
        assert len(self.labels) == net.config.num_classes, len(self.labels)
        self.thresholds = tuple(thresholds or [0.5] * len(self.labels))
        assert len(self.thresholds) == len(self.labels), len(self.thresholds)
        self.device = choose_device(device)
        self.net = net.eval().requires_grad_(False).to(self.device)
        threshold_K = torch.tensor(self.thresholds, device=self.device)
        self.shift_K = threshold_K.logit()

    @property
    def latent_size(self) -> int:
        """The number of values of an embedding."""
        return self.net.config.row_width

    def to(self, device: str | torch.device, precision: str) -> "FrameDetector":
        """Return the detector on a device; it runs in fp32 everywhere."""
        return FrameDetector(self.net, self.labels, self.thresholds, device)

    @plain_torch()
    def detect(self, waveform: np.ndarray | Tensor, rate_hz: int) -> Detection:
        """Detect the sounds of a track (C, T) of any rate and length; its channels are averaged.

        `clipwise` is the highest score of each class, `latent` the mean of the features.
        """
        samples_CT, rate_hz = as_tensor(waveform, "waveform"), as_rate(rate_hz)
        mono_T = average_channels(samples_CT, rate_hz)
        if (ROW_S * rate_hz).denominator != 1:  # rows begin between samples
            mono_T, rate_hz = resample(mono_T[None], rate_hz, RATE_HZ)[0], RATE_HZ
        parts, features, counts = [], [], []
        for span in plan_spans(len(mono_T), rate_hz, SPAN_S, self.context_s, ROW_S):
            scores_NK, mean_D = self._score(mono_T[span.start : span.stop], rate_hz, span)
            parts.append(scores_NK)
            features.append(mean_D)
            counts.append(len(scores_NK))
        framewise_NK = np.concatenate(parts)
        latent_D = np.average(features, 0, counts).astype(np.float32)
        return Detection(framewise_NK, float(ROW_S), framewise_NK.max(0), latent_D)

    def detect_span(self, samples_CT: Tensor, rate_hz: int, span: Span) -> SpanScores:
        """Score the rows that begin in the core of a span; `samples_CT` are all of its samples.

        The scores equal those of the whole track if the span has `context_s` on either side of its
        core, or reaches an end of the track.
        """
        mono_T = average_channels(samples_CT, rate_hz)
        row = ROW_S * rate_hz
        if row.denominator != 1:
            raise AudioError(f"rate_hz={rate_hz}: spans need a rate of whole samples in {ROW_S} s")
        skipped = -span.start % row.numerator  # samples before the span's first whole row
        first = -(-span.core_start // row.numerator)  # the first row that begins in the core
        inner = Span(
            span.start + skipped,
            span.stop,
            max(span.start + skipped, first * row.numerator),
            span.core_stop,
            span.num_samples,
        )
        scores_NK, _ = self._score(mono_T[skipped:], rate_hz, inner)
        return SpanScores(scores_NK, float(ROW_S), inner.core_start // row.numerator * float(ROW_S))

    @torch.inference_mode()
    def _score(self, mono_T: Tensor, rate_hz: int, span: Span) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores (N, K) of the core's rows, and their mean features (D,).

        The span begins where a row begins.
        """
        row = int(ROW_S * rate_hz)
        waveform_1T = resample(mono_T[None], rate_hz, RATE_HZ).to(self.device)
        with computing(self.device):
            found = self.net(waveform_1T)
        first = (span.core_start - span.start) // row
        rows = slice(first, first + -(-(span.core_stop - span.core_start) // row))
        scores_NK = (found.logits[0, rows] - self.shift_K).sigmoid()
        return scores_NK.cpu().numpy(), found.features[0, rows].mean(0).cpu().numpy()


@dataclass(frozen=True)
class FrameFile:
    """The contents of a detector's file."""

    net: FrameNet
    labels: list[str]
    thresholds: list[float]


def is_frame_file(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith(TENSORS) for name in tensors)


def write_frame_detector(
    path: Path,
    net: FrameNet,
    labels: Sequence[str],
    thresholds: Sequence[float] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a detector into a file for `load_detector`."""
    tensors = {f"{TENSORS}{n}": t for n, t in cast_floats(net.state_dict(), dtype).items()}
    metadata = {"format": FORMAT, "labels": json.dumps(list(labels))}
    if thresholds is not None:
        metadata["thresholds"] = json.dumps([round(float(each), 4) for each in thresholds])
    write_tensors(path, tensors, metadata)


def make_frame_file(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> FrameFile:
    """Build and check the detector from the tensors and metadata of a file."""
    own = take_prefixed(tensors, TENSORS)
    try:
        net = FrameNet(read_frame_config(own))
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointMismatch(f"{path}: another detector: {error}") from None
    assign_weights(path, net, own)
    count = net.config.num_classes
    labels = read_texts(path, metadata, "labels", count)
    thresholds = read_json(path, metadata, "thresholds", json.dumps([0.5] * count))
    is_list = isinstance(thresholds, list) and all(isinstance(t, float) for t in thresholds)
    if not is_list or len(thresholds) != count or not all(0 < t < 1 for t in thresholds):
        raise CheckpointMismatch(f"{path}: thresholds: must be {count} numbers between 0 and 1")
    return FrameFile(net, labels, thresholds)
