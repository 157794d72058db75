"""Run HTS-AT, a Swin transformer over a log-mel picture of ten seconds.

One class for both of its uses: the audio side of LAION-CLAP, and the detector ST-SED of zero-shot
separation, which has a token-semantic head: scores of classes over time. Written for inference,
with the official tensor names, so that actors need not import laion-clap.

Shapes: B batch, T samples, F bins, N frames, M mel bands, H and W rows and columns of patches,
C channels, G windows, L patches of a window (64), A heads, D features, K classes, S steps of time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.model.spectrogram import compute_spectrum

PICTURE = 256  # rows and columns of the picture
PATCH = 4
WINDOW = 8  # patches to a side
SHIFT = WINDOW // 2
HEADS = 4  # of the first layer's attention, whatever its width
APART = -100.0  # added to attention between patches that are no neighbours, as in training
BLOCK = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.")


@dataclass(frozen=True)
class HtsatConfig:
    """The sizes of a network. Without classes it has no token-semantic head."""

    num_bins: int
    num_mels: int
    width: int  # channels of the first layer; each further one has twice as many
    depths: tuple[int, ...]  # blocks of each layer
    hop: int
    num_classes: int = 0


def read_config(state: Mapping[str, Tensor], hop: int) -> HtsatConfig:
    """Read the sizes from the tensors' shapes; KeyError or ValueError if these are no HTS-AT's."""
    num_bins, num_mels = state["logmel_extractor.melW"].shape
    width = len(state["patch_embed.proj.weight"])
    blocks = {(int(m[1]), int(m[2])) for name in state if (m := BLOCK.match(name))}
    num_layers = len({layer for layer, _ in blocks})
    depths = tuple(len([b for a, b in blocks if a == i]) for i in range(num_layers))
    num_classes = len(state["tscam_conv.weight"]) if "tscam_conv.weight" in state else 0
    return HtsatConfig(num_bins, num_mels, width, depths, hop, num_classes)


class TaggerOutput(NamedTuple):
    """Scores 0..1 of each class, over time and for the whole picture, and the latent embedding."""

    framewise: Tensor  # (B, S, K)
    clipwise: Tensor  # (B, K)
    latent: Tensor  # (B, D)


class Htsat(nn.Module):
    def __init__(self, config: HtsatConfig) -> None:
        super().__init__()
        self.config = config
        mel_filters = torch.empty(config.num_bins, config.num_mels)
        self.logmel_extractor = nn.ParameterDict({"melW": mel_filters})
        self.bn0 = nn.BatchNorm2d(config.num_mels)
        width, depths = config.width, config.depths
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(1, width, PATCH, stride=PATCH), "norm": nn.LayerNorm(width)}
        )
        self.layers = nn.ModuleList()
        size = PICTURE // PATCH
        for i, depth in enumerate(depths):
            is_merged = i < len(depths) - 1
            self.layers.append(Layer(width << i, HEADS << i, depth, size >> i, is_merged))
        num_features = width << (len(depths) - 1)
        self.norm = nn.LayerNorm(num_features)
        if config.num_classes:
            # Over all bands of a strip and three steps of time.
            kernel = (self.num_bands, 3)
            self.tscam_conv = nn.Conv2d(num_features, config.num_classes, kernel, padding=(0, 1))

    @property
    def num_bands(self) -> int:
        """The rows of tokens in one strip of the picture."""
        side = (PICTURE // PATCH) >> (len(self.config.depths) - 1)
        return side * self.config.num_mels // PICTURE

    @property
    def longest_frames(self) -> int:
        """The frames that one picture holds."""
        return PICTURE * PICTURE // self.config.num_mels

    def forward(self, picture_B1HW: Tensor) -> Tensor:
        """Return features (B, D) of pictures made by `draw`."""
        return self.encode(picture_B1HW).mean((1, 2))

    def tag(self, picture_B1HW: Tensor) -> TaggerOutput:
        """Return the scores of the token-semantic head, and the features."""
        x_BHWC = self.encode(picture_B1HW).float()
        z_BKS = self.score(x_BHWC)
        # The whole picture's score is the sigmoid of the mean, not the mean of the sigmoids.
        clipwise_BK = z_BKS.mean(-1).sigmoid()
        return TaggerOutput(z_BKS.sigmoid().transpose(1, 2), clipwise_BK, x_BHWC.mean((1, 2)))

    def score(self, x_BHWC: Tensor) -> Tensor:
        """Return the scores (B, K, S) of the token-semantic head, before the sigmoid."""
        # The strips follow each other in time; a strip has a few bands of frequency.
        x_BCbandS = x_BHWC.unflatten(1, (-1, self.num_bands)).permute(0, 4, 2, 1, 3).flatten(3)
        return self.tscam_conv(x_BCbandS)[:, :, 0].float()

    def encode(self, picture_B1HW: Tensor) -> Tensor:
        """Return the normalised tokens (B, H, W, C) of the last layer."""
        x_BCHW = self.patch_embed["proj"](picture_B1HW)
        x_BHWC = self.patch_embed["norm"](x_BCHW.permute(0, 2, 3, 1))
        for layer in self.layers:
            x_BHWC = layer(x_BHWC)
        return self.norm(x_BHWC)

    def draw(self, waveform_BT: Tensor) -> Tensor:
        """Draw up to 1024 frames as a picture (B, 1, 256, 256): four stretches of time below each
        other, low mels first.

        Fewer frames are repeated as often as whole copies fit, then stretched in time.
        """
        return self.lay_out(self.measure_levels(waveform_BT))

    def measure_levels(self, waveform_BT: Tensor) -> Tensor:
        """Return normalised levels (B, 1, N, M) of each frame's mel bands."""
        n_fft = 2 * (self.config.num_bins - 1)
        spectrum_BNF = compute_spectrum(waveform_BT, n_fft, self.config.hop)
        power_BNM = spectrum_BNF.abs().square() @ self.logmel_extractor["melW"]
        level_BMN1 = 10 * power_BNM.clamp_min(1e-10).log10().transpose(1, 2)[..., None]
        return self.bn0(level_BMN1).transpose(1, 3)

    def lay_out(self, level_B1NM: Tensor) -> Tensor:
        """Lay levels out as a picture: see `draw`."""
        num_frames, num_mels = level_B1NM.shape[2:]
        level_B1NM = level_B1NM.repeat(1, 1, self.longest_frames // num_frames, 1)
        size = (self.longest_frames, num_mels)
        level_B1NM = F.interpolate(level_B1NM, size, mode="bicubic", align_corners=True)
        strips = level_B1NM.transpose(2, 3).unflatten(-1, (-1, PICTURE))  # B, 1, M, strip, W
        return strips.transpose(2, 3).flatten(2, 3)


class Layer(nn.Module):
    """A stage: blocks whose windows are by turns on a grid and shifted by half, then a merge."""

    def __init__(self, width: int, heads: int, depth: int, size: int, is_merged: bool) -> None:
        super().__init__()
        # A window over the whole picture is not shifted.
        shifts = [SHIFT if i % 2 and size > WINDOW else 0 for i in range(depth)]
        self.blocks = nn.ModuleList(Block(width, heads, size, shift) for shift in shifts)
        self.downsample = Merge(width) if is_merged else None

    def forward(self, x_BHWC: Tensor) -> Tensor:
        for block in self.blocks:
            x_BHWC = block(x_BHWC)
        return x_BHWC if self.downsample is None else self.downsample(x_BHWC)


class Merge(nn.Module):
    """Merge two by two patches into one with twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        corners = [x_BHWC[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, size: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.drop_ratio = 0.0  # in training: share of examples that leave out a branch
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )
        apart = make_attention_mask(size, shift) if shift else torch.zeros(1, 1, 1, 1, device="cpu")
        self.apart_G1LL = nn.Buffer(apart, persistent=False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        shift, size = self.shift, x_BHWC.shape[1]
        attended = self.norm1(x_BHWC)
        if shift:
            attended = attended.roll((-shift, -shift), (1, 2))
        attended = from_windows(self.attn(to_windows(attended), self.apart_G1LL), size)
        if shift:
            attended = attended.roll((shift, shift), (1, 2))
        x_BHWC = x_BHWC + self._drop(attended)
        return x_BHWC + self._drop(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x_BHWC)))))

    def _drop(self, x_BHWC: Tensor) -> Tensor:
        if not self.training or not self.drop_ratio:
            return x_BHWC
        kept_B = torch.rand(len(x_BHWC), device=x_BHWC.device) >= self.drop_ratio
        return x_BHWC * (kept_B / (1 - self.drop_ratio))[:, None, None, None].to(x_BHWC.dtype)


class Attention(nn.Module):
    """Attention within each window, with a bias by the offset between two patches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
        self.offsets_LL = nn.Buffer(find_offsets(), persistent=False)

    def forward(self, x_BGLC: Tensor, apart_G1LL: Tensor) -> Tensor:
        num_stretches, num_windows = x_BGLC.shape[:2]
        # Batch and windows share a dimension: the fast kernels take four.
        parts = self.qkv(x_BGLC).flatten(0, 1).unflatten(-1, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        bias_ALL = self.relative_position_bias_table[self.offsets_LL].permute(2, 0, 1)
        bias_GALL = (bias_ALL + apart_G1LL).to(q.dtype)
        if len(bias_GALL) > 1:
            bias_GALL = bias_GALL.repeat(num_stretches, 1, 1, 1)
        out = F.scaled_dot_product_attention(q, k, v, bias_GALL)
        return self.proj(out.transpose(1, 2).flatten(2).unflatten(0, (-1, num_windows)))


def to_windows(x_BHWC: Tensor) -> Tensor:
    """Cut a picture into windows (B, G, L, C), row by row."""
    parts = x_BHWC.unflatten(2, (-1, WINDOW)).unflatten(1, (-1, WINDOW))
    return parts.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def from_windows(x_BGLC: Tensor, size: int) -> Tensor:
    """Put windows back together into a picture (B, H, W, C)."""
    parts = x_BGLC.unflatten(2, (WINDOW, WINDOW)).unflatten(1, (size // WINDOW, -1))
    return parts.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def find_offsets() -> Tensor:
    """Return (L, L): the row of the bias table for each pair of a window's patches."""
    # On the CPU even if a network is built on `meta`: no file holds this table.
    place_L = torch.arange(WINDOW * WINDOW, device="cpu")
    row_L, column_L = place_L // WINDOW, place_L % WINDOW
    rows_LL = row_L[:, None] - row_L[None] + WINDOW - 1
    columns_LL = column_L[:, None] - column_L[None] + WINDOW - 1
    return rows_LL * (2 * WINDOW - 1) + columns_LL


def make_attention_mask(size: int, shift: int) -> Tensor:
    """Return (G, 1, L, L), APART for pairs from opposite ends of the picture.

    Such pairs share a shifted window at the edge.
    """
    side = torch.zeros(size, device="cpu")
    side[-WINDOW:], side[-shift:] = 1, 2
    region_HW = 3 * side[:, None] + side[None]
    region_GL = to_windows(region_HW[None, :, :, None])[0, :, :, 0]
    apart_GLL = region_GL[:, :, None] != region_GL[:, None]
    return APART * apart_GLL[:, None].float()
