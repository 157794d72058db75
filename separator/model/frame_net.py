"""Score sounds over time by a small convolutional network on a log-mel spectrogram.

A score depends on 3.8 s to either side and no more, so a long track can be scored in parts.

Shapes: B batch, T samples, N frames, M mel bands, C channels, R rows in time, K classes,
D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.model.spectrogram import compute_spectrum

RATE_HZ = 32_000
N_FFT, HOP, NUM_MELS = 1024, 320, 64
MIN_POWER = 1e-8
FRAMES_PER_ROW = 8
ROW = FRAMES_PER_ROW * HOP  # samples
DILATIONS = (1, 2, 4, 8)
KERNEL = 7  # rows
RARE = -3.5  # a new network's scores before the sigmoid: most sounds are absent most of the time


@dataclass(frozen=True)
class FrameConfig:
    """The sizes of a network: channels of the five layers on the spectrogram, and of a row."""

    num_classes: int
    widths: tuple[int, ...] = (24, 48, 96, 128, 128)
    row_width: int = 192

    def __post_init__(self) -> None:
        if len(self.widths) != 5 or min(self.num_classes, self.row_width, *self.widths) < 1:
            raise ValueError(f"{self}: five widths, and no size below 1")


class FrameScores(NamedTuple):
    """Scores of each row before the sigmoid, and the features that they are made of."""

    logits: Tensor  # (B, R, K)
    features: Tensor  # (B, R, D)


class FrameNet(nn.Module):
    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        self.config = config
        self.mel_FM = nn.Buffer(torch.zeros(N_FFT // 2 + 1, NUM_MELS))
        self.bn0 = nn.BatchNorm1d(NUM_MELS)
        before = (1, *config.widths[:-1])
        self.layers = nn.ModuleList(
            Layer(num_in, num_out, stride=1 if i else 2)
            for i, (num_in, num_out) in enumerate(zip(before, config.widths, strict=True))
        )
        width = config.row_width
        self.proj = nn.Conv1d(config.widths[-1] * (NUM_MELS >> 4), width, 1)
        self.bn1 = nn.BatchNorm1d(width)
        self.blocks = nn.ModuleList(RowBlock(width, dilation) for dilation in DILATIONS)
        self.bn2 = nn.BatchNorm1d(width)
        self.out = nn.Conv1d(width, config.num_classes, 1)
        nn.init.constant_(self.out.bias, RARE)  # pyright: ignore[reportArgumentType]

    def measure_levels(self, waveform_BT: Tensor) -> Tensor:
        """Return levels (B, N, M) of mel bands: 100 frames a second, in units of 20 dB.

        A waveform shorter than one row is filled up with silence.
        """
        num_rows = max(1, -(-waveform_BT.shape[1] // ROW))
        waveform_BT = F.pad(waveform_BT, (0, num_rows * ROW - waveform_BT.shape[1]))
        spectrum_BNF = compute_spectrum(waveform_BT, N_FFT, HOP)
        power_BNM = spectrum_BNF[:, :-1].abs().square() @ self.mel_FM
        return (power_BNM + MIN_POWER).log10() / 2

    def score(self, level_BNM: Tensor) -> FrameScores:
        """Score levels, one row for every eight frames."""
        h_BCNM = self.bn0(level_BNM.transpose(1, 2)).transpose(1, 2)[:, None]
        for i, layer in enumerate(self.layers):
            h_BCNM = layer(h_BCNM)
            if 0 < i < 4:
                h_BCNM = F.max_pool2d(h_BCNM, (1, 2) if i == 3 else 2)
        h_BDR = F.gelu(self.bn1(self.proj(h_BCNM.transpose(2, 3).flatten(1, 2))))
        for block in self.blocks:
            h_BDR = block(h_BDR)
        h_BDR = self.bn2(h_BDR)
        return FrameScores(self.out(h_BDR).transpose(1, 2), h_BDR.transpose(1, 2))

    def forward(self, waveform_BT: Tensor) -> FrameScores:
        """Score waveforms at 32 kHz."""
        return self.score(self.measure_levels(waveform_BT))


class Layer(nn.Module):
    """A convolution over time and bands."""

    def __init__(self, num_in: int, num_out: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(num_out)

    def forward(self, x_BCNM: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x_BCNM)))


class RowBlock(nn.Module):
    """Look at rows before and after, each channel by itself, then mix the channels."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        reach = dilation * (KERNEL // 2)
        self.over_time = nn.Conv1d(
            width, width, KERNEL, padding=reach, dilation=dilation, groups=width
        )
        self.bn = nn.BatchNorm1d(width)
        self.widen, self.narrow = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(2 * width, width, 1)

    def forward(self, x_BDR: Tensor) -> Tensor:
        return x_BDR + self.narrow(F.gelu(self.widen(self.bn(self.over_time(x_BDR)))))


def read_frame_config(state: Mapping[str, Tensor]) -> FrameConfig:
    """Read the sizes from shapes; KeyError or ValueError if these are no FrameNet's tensors."""
    widths = tuple(len(state[f"layers.{i}.conv.weight"]) for i in range(5))
    return FrameConfig(len(state["out.weight"]), widths, len(state["proj.weight"]))
