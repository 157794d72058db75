"""Define the FiLM-conditioned ResUNet of AudioSep as it is trained: magnitudes in, mask maps out.

Parameter names equal those of the official checkpoints. The fast evaluation form of the same
network is `folded.py`.

Shapes: B batch, C channels, N frames, F bins, D condition, W channels inside the network.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.audio.spans import HIGHEST_HZ, LOWEST_HZ
from separator.model.spectrogram import compute_gain, compute_whole_spectrum, invert_spectrum

# Five of the six poolings halve the frames, all six halve the bins.
GRID_FRAMES = 32
GRID_BINS = 64
LEAK = 0.01
# Limits to what a file may ask for; the released networks have sizes up to 2048 and frames that
# overlap seven times.
LARGEST_SIZE, MAX_OVERLAP = 65_536, 64


@dataclass(frozen=True)
class NetworkConfig:
    """The sizes of a network; the defaults are those of AudioSep's released weights."""

    rate_hz: int = 32_000
    n_fft: int = 2048
    hop: int = 320
    condition_size: int = 512
    widths: tuple[int, ...] = (32, 64, 128, 256, 384, 384)

    def __post_init__(self) -> None:
        # Lists come from JSON metadata; a tuple keeps the config hashable.
        object.__setattr__(self, "widths", tuple(self.widths))
        if len(self.widths) != 6 or not all(1 <= w <= LARGEST_SIZE for w in self.widths):
            raise ValueError(f"widths={self.widths}: six channel counts to {LARGEST_SIZE} needed")
        check_sizes(self.rate_hz, self.n_fft, self.hop, self.condition_size)

    @property
    def num_bins(self) -> int:
        return self.n_fft // 2 + 1


def check_sizes(rate_hz: int, n_fft: int, hop: int, condition_size: int) -> None:
    """Raise ValueError for sizes that no network has: a file may ask for any."""
    if n_fft % (2 * GRID_BINS) or not 0 < n_fft <= LARGEST_SIZE:
        raise ValueError(
            f"n_fft={n_fft}: must be a multiple of {2 * GRID_BINS} up to {LARGEST_SIZE}"
        )
    # Very short hops would take all memory: each frame is a whole spectrum.
    lowest, highest = max(1, n_fft // MAX_OVERLAP), n_fft // 2
    if not lowest <= hop <= highest:
        raise ValueError(f"hop={hop}: must lie in {lowest}..n_fft/2={highest}")
    if not LOWEST_HZ <= rate_hz <= HIGHEST_HZ:
        raise ValueError(f"rate_hz={rate_hz}: must lie in {LOWEST_HZ}..{HIGHEST_HZ}")
    if not 1 <= condition_size <= LARGEST_SIZE:
        raise ValueError(f"condition_size={condition_size}: must lie in 1..{LARGEST_SIZE}")


def batch_norm(num_channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(num_channels, momentum=0.01)


class ResidualBlock(nn.Module):
    """Two pre-activated 3x3 convolutions and a shortcut."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.bn1 = batch_norm(num_in)
        self.bn2 = batch_norm(num_out)
        self.conv1 = nn.Conv2d(num_in, num_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(num_in, num_out, 1) if num_in != num_out else None

    def forward(self, x: Tensor, beta1: Tensor, beta2: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(self.bn1(x) + beta1, LEAK))
        h = self.conv2(F.leaky_relu(self.bn2(h) + beta2, LEAK))
        return h + (x if self.shortcut is None else self.shortcut(x))


class EncoderBlock(nn.Module):
    def __init__(self, num_in: int, num_out: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv_block1 = ResidualBlock(num_in, num_out)
        self.pool = pool


class DecoderBlock(nn.Module):
    def __init__(self, num_in: int, num_out: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(num_in, num_out, stride, stride, bias=False)
        self.bn1 = batch_norm(num_in)
        self.conv_block2 = ResidualBlock(2 * num_out, num_out)
        # Present in the official files and unused.
        self.bn2 = batch_norm(num_in)
        self.bn2.requires_grad_(False)


class Base(nn.Module):
    """The modules of the U under their official names, without the arithmetic between them."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = config.widths
        self.bn0 = nn.BatchNorm2d(config.num_bins, momentum=0.01)
        self.pre_conv = nn.Conv2d(1, widths[0], 1)
        pools = [(2, 2)] * 5 + [(1, 2)]
        num_in = widths[0]
        for i, (width, pool) in enumerate(zip(widths, pools, strict=True), start=1):
            self.add_module(f"encoder_block{i}", EncoderBlock(num_in, width, pool))
            num_in = width
        self.conv_block7a = EncoderBlock(num_in, num_in, (1, 1))
        for i, (width, pool) in enumerate(zip(widths[::-1], pools[::-1], strict=True), start=1):
            self.add_module(f"decoder_block{i}", DecoderBlock(num_in, width, pool))
            num_in = width
        self.after_conv = nn.Conv2d(num_in, 3, 1)

    @property
    def encoders(self) -> list[EncoderBlock]:
        return [self.get_submodule(f"encoder_block{i}") for i in range(1, 7)]  # pyright: ignore

    @property
    def decoders(self) -> list[DecoderBlock]:
        return [self.get_submodule(f"decoder_block{i}") for i in range(1, 7)]  # pyright: ignore


def list_film_sites(base: Base) -> list[tuple[str, nn.BatchNorm2d]]:
    """List (path, batch norm) of all FiLM sites, e.g. `decoder_block1->beta1`."""
    sites = []
    for path, module in base.named_modules():
        name = path.rpartition(".")[2]
        if isinstance(module, nn.BatchNorm2d) and name in ("bn1", "bn2"):
            sites.append((path[: -len(name)].replace(".", "->") + "beta" + name[-1], module))
    return sites


class Film(nn.Module):
    """One linear map per batch norm: the condition shifts the norm's output, without scaling it."""

    def __init__(self, base: Base, condition_size: int) -> None:
        super().__init__()
        for path, norm in list_film_sites(base):
            self.add_module(path, nn.Linear(condition_size, norm.num_features))
            if path.startswith("decoder_block") and path.count("->") == 1 and path.endswith("2"):
                self.get_submodule(path).requires_grad_(False)

    def forward(self, condition_BD: Tensor) -> dict[str, Tensor]:
        return {name: m(condition_BD)[:, :, None, None] for name, m in self.named_children()}


class ResUNet(nn.Module):
    """Magnitudes (B, N, F) and conditions (B, D) -> maps (B, 3, N, F): mask, and two of phase."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.base = Base(config)
        self.film = Film(self.base, config.condition_size)

    def forward(self, magnitude_BNF: Tensor, condition_BD: Tensor) -> Tensor:
        base, betas = self.base, self.film(condition_BD)
        num_frames = magnitude_BNF.shape[1]
        x = base.bn0(magnitude_BNF[:, :, :, None].transpose(1, 2)).permute(0, 3, 2, 1)
        # Zeros fill the grid after the norm, where they do not stand for silence.
        x = F.pad(x[..., :-1], (0, 0, 0, -num_frames % GRID_FRAMES))
        x = base.pre_conv(x)
        skips = []
        for i, block in enumerate(base.encoders, start=1):
            x = self._residual(block.conv_block1, f"encoder_block{i}->conv_block1", x, betas)
            skips.append(x)
            x = F.avg_pool2d(x, block.pool)
        x = self._residual(base.conv_block7a.conv_block1, "conv_block7a->conv_block1", x, betas)
        for i, block in enumerate(base.decoders, start=1):
            h = F.leaky_relu(block.bn1(x) + betas[f"decoder_block{i}->beta1"], LEAK)
            x = torch.cat([block.conv1(h), skips.pop()], dim=1)
            x = self._residual(block.conv_block2, f"decoder_block{i}->conv_block2", x, betas)
        return F.pad(base.after_conv(x), (0, 1))[:, :, :num_frames]

    @staticmethod
    def _residual(block: ResidualBlock, path: str, x: Tensor, betas: dict[str, Tensor]) -> Tensor:
        return block(x, betas[f"{path}->beta1"], betas[f"{path}->beta2"])


def separate_plainly(net: ResUNet, waveform_BT: Tensor, condition_BD: Tensor) -> Tensor:
    """Compute stems (B, T) in one pass, as in training: the reference for the engine."""
    n_fft, hop = net.config.n_fft, net.config.hop
    spectrum = compute_whole_spectrum(waveform_BT, n_fft, hop)
    gain = torch.complex(*compute_gain(*net(spectrum.abs(), condition_BD).unbind(1)))
    return invert_spectrum(spectrum * gain, n_fft, hop, waveform_BT.shape[-1])
