"""Define the U-Net of zero-shot separation as its official code trains it: magnitudes in, mask out.

It is conditioned by the latent embedding of a detector. Unlike AudioSep's ResUNet it has no
residuals, adds the condition after the activation, and leaves the phase alone. Parameter names
equal those of the official checkpoints.

Shapes: B batch, T samples, N frames, F bins, D condition.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.model.resunet import batch_norm, check_sizes
from separator.model.spectrogram import compute_whole_spectrum, invert_spectrum

# Six poolings halve both frames and bins.
LEVELS = 6
GRID_FRAMES = 1 << LEVELS


@dataclass(frozen=True)
class AspConfig:
    """The sizes of a network; the defaults are those of the released weights."""

    rate_hz: int = 32_000
    n_fft: int = 2048
    hop: int = 320
    condition_size: int = 2048
    widths: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)  # the last at the bottom

    def __post_init__(self) -> None:
        if len(self.widths) != LEVELS + 1 or min(self.widths) < 1:
            raise ValueError(f"widths={self.widths}: {LEVELS + 1} channel counts needed")
        check_sizes(self.rate_hz, self.n_fft, self.hop, self.condition_size)

    @property
    def num_bins(self) -> int:
        return self.n_fft // 2 + 1


class ConditionBlock(nn.Module):
    """Two 3x3 convolutions; the condition is added after each activation."""

    def __init__(self, num_in: int, num_out: int, condition_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_in, num_out, 3, padding=1, bias=False)
        self.bn1 = batch_norm(num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1, bias=False)
        self.bn2 = batch_norm(num_out)
        self.emb1 = nn.Linear(condition_size, num_out)
        self.emb2 = nn.Linear(condition_size, num_out)

    def forward(self, x: Tensor, condition_BD: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x))) + self.emb1(condition_BD)[:, :, None, None]
        return F.relu(self.bn2(self.conv2(x))) + self.emb2(condition_BD)[:, :, None, None]


class EncoderBlock(nn.Module):
    def __init__(self, num_in: int, num_out: int, condition_size: int) -> None:
        super().__init__()
        self.conv_block = ConditionBlock(num_in, num_out, condition_size)

    def forward(self, x: Tensor, condition_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled map, and the skip from before the pooling."""
        skip = self.conv_block(x, condition_BD)
        return F.avg_pool2d(skip, 2), skip


class DecoderBlock(nn.Module):
    def __init__(self, num_in: int, num_out: int, condition_size: int) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(num_in, num_out, 3, stride=2, bias=False)
        self.bn1 = batch_norm(num_out)
        self.emb1 = nn.Linear(condition_size, num_out)
        self.conv_block2 = ConditionBlock(2 * num_out, num_out, condition_size)

    def forward(self, x: Tensor, skip: Tensor, condition_BD: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x))) + self.emb1(condition_BD)[:, :, None, None]
        # Without padding the transposed convolution makes one row and one column too many.
        x = torch.cat([x[:, :, :-1, :-1], skip], dim=1)
        return self.conv_block2(x, condition_BD)


class AspUnet(nn.Module):
    """Magnitudes (B, N, F) and conditions (B, D) -> masks (B, N, F), 0..1."""

    def __init__(self, config: AspConfig) -> None:
        super().__init__()
        self.config = config
        size, widths = config.condition_size, config.widths
        self.bn0 = batch_norm(config.num_bins)
        for i, (num_in, num_out) in enumerate(zip((1, *widths[:-2]), widths[:-1], strict=True), 1):
            self.add_module(f"encoder_block{i}", EncoderBlock(num_in, num_out, size))
        self.conv_block7 = ConditionBlock(widths[-2], widths[-1], size)
        for i, (num_in, num_out) in enumerate(pairwise(widths[::-1]), 1):
            self.add_module(f"decoder_block{i}", DecoderBlock(num_in, num_out, size))
        self.after_conv_block1 = ConditionBlock(widths[0], widths[0], size)
        self.after_conv2 = nn.Conv2d(widths[0], 1, 1)

    def forward(self, magnitude_BNF: Tensor, condition_BD: Tensor) -> Tensor:
        num_frames = magnitude_BNF.shape[1]
        x = self.bn0(magnitude_BNF.transpose(1, 2)[..., None]).permute(0, 3, 2, 1)
        # Zeros fill the grid after the norm, where they do not stand for silence.
        x = F.pad(x[..., :-1], (0, 0, 0, -num_frames % GRID_FRAMES))
        skips = []
        for i in range(1, LEVELS + 1):
            x, skip = self.get_submodule(f"encoder_block{i}")(x, condition_BD)
            skips.append(skip)
        x = self.conv_block7(x, condition_BD)
        for i in range(1, LEVELS + 1):
            x = self.get_submodule(f"decoder_block{i}")(x, skips.pop(), condition_BD)
        x = self.after_conv2(self.after_conv_block1(x, condition_BD))
        # The last bin, which the network never sees, gets a mask of one half.
        return F.pad(x, (0, 1))[:, 0, :num_frames].sigmoid()


def separate_by_mask(net: AspUnet, waveform_BT: Tensor, condition_BD: Tensor) -> Tensor:
    """Compute stems (B, T) in one pass, as in training: the mixture's phase, the mask's level."""
    n_fft, hop = net.config.n_fft, net.config.hop
    spectrum_BNF = compute_whole_spectrum(waveform_BT, n_fft, hop)
    mask_BNF = net(spectrum_BNF.abs(), condition_BD)
    return invert_spectrum(spectrum_BNF * mask_BNF, n_fft, hop, waveform_BT.shape[-1])
