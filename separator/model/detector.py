"""Detect sounds: an HTS-AT with a token-semantic head, run on waveforms of any rate and length.

Up to one picture (10.24 s) the result is that of the official code. The official code has no sane
rule for longer inputs. Ours takes slices of 10 s, one every 5 s from the start of the track, and
one that ends at its end; where slices overlap, their scores are averaged in time. A moment's scores
depend on the 10 s of the track to either side and on nothing else, however the track is cut.

Shapes: B batch, C channels, T samples, S steps of one picture, N rows in time, K classes,
D features.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from separator.audio.arrays import as_rate, as_tensor
from separator.audio.exact import computing, plain_torch
from separator.audio.resample import resample
from separator.audio.spans import Span, round_up
from separator.errors import AudioError, CheckpointMismatch
from separator.model.detection import Detection, SpanScores, average_channels
from separator.model.device import Precision, choose_device, choose_precision
from separator.model.htsat import Htsat, HtsatConfig, TaggerOutput

RATE_HZ, HOP = 32_000, 320
STEPS = 32  # of time in one picture
SLICE = 10 * RATE_HZ
STEP = SLICE // STEPS
STRIDE = SLICE // 2
STRIDE_S = STRIDE // RATE_HZ
EDGE = 1e-6  # of a row: tolerance for seconds, which are not exact in floats
BATCH = {"cpu": 2, "cuda": 16}  # pictures in one forward


class Detector:
    """A loaded detector, for one thread at a time. `labels` name the columns of its scores."""

    context_s = Fraction(SLICE + 2 * STRIDE, RATE_HZ)

    def __init__(
        self,
        net: Htsat,
        labels: Sequence[str],
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        check_config(net.config)
        self.labels = tuple(labels)
        assert len(self.labels) == net.config.num_classes, len(self.labels)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.net = net.eval().requires_grad_(False).to(self.device)

    @property
    def latent_size(self) -> int:
        """The number of values of an embedding."""
        return self.net.config.width << (len(self.net.config.depths) - 1)

    def to(self, device: str | torch.device, precision: str) -> "Detector":
        """Return the detector on a device."""
        return Detector(
            self.net,
            self.labels,
            device,
            precision,  # pyright: ignore[reportArgumentType] # checked there
        )

    @plain_torch()
    def detect(self, waveform: np.ndarray | Tensor, rate_hz: int) -> Detection:
        """Detect the sounds of a track (C, T) of any rate and length; its channels are averaged."""
        samples_CT, rate_hz = as_tensor(waveform, "waveform"), as_rate(rate_hz)
        mono_T = average_channels(samples_CT, rate_hz)
        num_samples = -(-len(mono_T) * RATE_HZ // rate_hz)
        if count_frames(num_samples) <= self.net.longest_frames:
            return self._detect_short(resample(mono_T[None], rate_hz, RATE_HZ), num_samples)
        return self._detect_long(mono_T, rate_hz, num_samples)

    def detect_span(self, samples_CT: Tensor, rate_hz: int, span: Span) -> SpanScores:
        """Score the rows that begin in the core of a span; `samples_CT` are all of its samples.

        The scores equal those of the whole track if the span has `context_s` on either side of its
        core, or reaches an end of the track: slices start where they start in the whole track.
        """
        skipped = -span.start % (STRIDE_S * rate_hz)
        found = self.detect(samples_CT[:, skipped:], rate_hz)
        offset_s = (span.start + skipped) / rate_hz
        first = max(0, math.ceil((span.core_start / rate_hz - offset_s) / found.frame_s - EDGE))
        stop = math.ceil((span.core_stop / rate_hz - offset_s) / found.frame_s - EDGE)
        rows_NK = found.framewise[first : None if span.core_stop == span.num_samples else stop]
        return SpanScores(rows_NK, found.frame_s, offset_s + first * found.frame_s)

    @torch.inference_mode()
    def infer(self, waveform_BT: Tensor) -> TaggerOutput:
        """Compute the official scores and embeddings of inputs of one length, mono at 32 kHz.

        A picture has 32 steps. Inputs up to half a picture are repeated, so their steps cover
        several copies.
        """
        num_frames = count_frames(waveform_BT.shape[1])
        if not 1 <= num_frames <= self.net.longest_frames:
            raise AudioError(
                f"{num_frames} frames: one picture holds {self.net.longest_frames}; "
                "give longer sounds to detect()"
            )
        narrow = torch.autocast(self.device.type, torch.bfloat16, self.precision == "bf16")
        found = []
        for part_BT in waveform_BT.float().split(BATCH.get(self.device.type, 1)):
            with computing(self.device, self.precision == "fp32"):
                picture_B1HW = self.net.draw(part_BT.to(self.device))
                with narrow:
                    tags = self.net.tag(picture_B1HW)
            found.append([each.cpu() for each in tags])
        return TaggerOutput(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _detect_short(self, waveform_1T: Tensor, num_samples: int) -> Detection:
        tags = self.infer(waveform_1T)
        copies = self.net.longest_frames // count_frames(num_samples)
        framewise_NK = average_copies(tags.framewise[0].numpy(), copies)
        frame_s = copies * num_samples / STEPS / RATE_HZ
        return Detection(framewise_NK, frame_s, tags.clipwise[0].numpy(), tags.latent[0].numpy())

    def _detect_long(self, mono_T: Tensor, rate_hz: int, num_samples: int) -> Detection:
        starts = plan_slices(num_samples)
        num_classes = self.net.config.num_classes
        total_NK = np.zeros((starts[-1] // STEP + STEPS, num_classes))
        counts_N1 = np.zeros((len(total_NK), 1))
        clipwise, latents = [], []
        batch = BATCH.get(self.device.type, 1)
        for at in range(0, len(starts), batch):
            taken = starts[at : at + batch]
            tags = self.infer(torch.cat([cut_slice(mono_T, rate_hz, start) for start in taken]))
            for start, framewise_SK in zip(taken, tags.framewise.numpy(), strict=True):
                rows = slice(start // STEP, start // STEP + STEPS)
                total_NK[rows] += framewise_SK
                counts_N1[rows] += 1
            clipwise.append(tags.clipwise)
            latents.append(tags.latent)
        framewise_NK = (total_NK / counts_N1).astype(np.float32)
        means = [torch.cat(parts).mean(0).numpy() for parts in (clipwise, latents)]
        return Detection(framewise_NK, STEP / RATE_HZ, *means)


def count_frames(num_samples: int) -> int:
    return num_samples // HOP + 1 if num_samples else 0


def plan_slices(num_samples: int) -> list[int]:
    """List the first samples (at 32 kHz) of a track's slices: every 5 s, then one at the end.

    The last one starts on a whole step, so that it lacks less than a step of sound.
    """
    starts = list(range(0, max(1, num_samples - SLICE + 1), STRIDE))
    last = round_up(max(0, num_samples - SLICE), STEP)
    return starts if starts[-1] == last else [*starts, last]


def cut_slice(mono_T: Tensor, rate_hz: int, start: int) -> Tensor:
    """Return one slice (1, T) at 32 kHz; it is resampled with a second more on either side."""
    first_s = max(0, start // RATE_HZ - 1)
    last_s = -(-(start + SLICE) // RATE_HZ) + 1
    part_1T = resample(mono_T[None, first_s * rate_hz : last_s * rate_hz], rate_hz, RATE_HZ)
    part_1T = part_1T[:, start - first_s * RATE_HZ :][:, :SLICE]
    return F.pad(part_1T, (0, SLICE - part_1T.shape[1]))


def average_copies(framewise_SK: np.ndarray, copies: int) -> np.ndarray:
    """Average the scores of a repeated input over its copies: rows (N, K) of one copy."""
    if copies == 1:
        return framewise_SK
    period = STEPS / copies  # steps of one copy
    row_N = np.arange(-(-STEPS // copies))
    middle_N = (row_N + np.minimum(row_N + 1, period)) / 2
    step_CN = (np.arange(copies)[:, None] * period + middle_N).astype(int)
    return framewise_SK[np.minimum(step_CN, STEPS - 1)].mean(0)


def check_config(config: HtsatConfig) -> None:
    """Raise CheckpointMismatch unless a network of this shape is a detector at 32 kHz."""
    if config.num_classes == 0:
        raise CheckpointMismatch(
            "an HTS-AT without a token-semantic head (tscam_conv) detects nothing"
        )
    known: Any = (config.num_bins, config.num_mels, config.hop, len(config.depths))
    if known != (513, 64, HOP, 4):
        raise CheckpointMismatch(
            f"(bins, mels, hop, layers)={known}: a detector has (513, 64, {HOP}, 4)"
        )
