"""Run HTS-AT, LAION-CLAP's audio tower: a Swin transformer over a log-mel picture of ten seconds.

Written for inference, with the official tensor names, so that actors need not import laion-clap.

Shapes: B batch, T samples, F bins, N frames, M mel bands, H and W rows and columns of patches,
C channels, G windows, L patches of one (64), A heads, D features.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HOP = 480
PICTURE = 256  # rows and columns of the picture
PATCH = 4
WINDOW = 8  # patches to a side
SHIFT = WINDOW // 2
HEADS = 4  # of the first layer's attention, whatever its width
APART = -100.0  # added to attention between patches that are no neighbours, as in training


class Htsat(nn.Module):
    def __init__(self, num_bins: int, num_mels: int, width: int, depths: Sequence[int]) -> None:
        """`width`: channels of the first layer; each further one has twice as many."""
        super().__init__()
        self.n_fft = 2 * (num_bins - 1)
        self.logmel_extractor = nn.ParameterDict({"melW": torch.empty(num_bins, num_mels)})
        self.bn0 = nn.BatchNorm2d(num_mels)
        norm = nn.LayerNorm(width)
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(1, width, PATCH, stride=PATCH), "norm": norm}
        )
        self.layers = nn.ModuleList()
        size = PICTURE // PATCH
        for i, depth in enumerate(depths):
            is_merged = i < len(depths) - 1
            self.layers.append(Layer(width << i, HEADS << i, depth, size >> i, is_merged))
        self.norm = nn.LayerNorm(width << (len(depths) - 1))

    def forward(self, picture_B1HW: Tensor) -> Tensor:
        """Return features (B, D) of pictures made by `draw`."""
        x_BCHW = self.patch_embed["proj"](picture_B1HW)
        x_BHWC = self.patch_embed["norm"](x_BCHW.permute(0, 2, 3, 1))
        for layer in self.layers:
            x_BHWC = layer(x_BHWC)
        return self.norm(x_BHWC).mean((1, 2))

    def draw(self, waveform_BT: Tensor) -> Tensor:
        """Draw 10 s at 48 kHz as a picture (B, 1, 256, 256): four stretches of time below each
        other, low mels first."""
        window = torch.hann_window(self.n_fft, device=waveform_BT.device)
        spectrum_BFN = torch.stft(waveform_BT, self.n_fft, HOP, window=window, return_complex=True)
        power_BNM = spectrum_BFN.abs().square().transpose(1, 2) @ self.logmel_extractor["melW"]
        level_BMN1 = 10 * power_BNM.clamp_min(1e-10).log10().transpose(1, 2)[..., None]
        level_B1NM = self.bn0(level_BMN1).transpose(1, 3)
        num_mels = level_B1NM.shape[-1]
        size = (PICTURE * PICTURE // num_mels, num_mels)
        level_B1NM = F.interpolate(level_B1NM, size, mode="bicubic", align_corners=True)
        strips = level_B1NM.transpose(2, 3).unflatten(-1, (-1, PICTURE))  # B, 1, M, strip, W
        return strips.transpose(2, 3).flatten(2, 3)


class Layer(nn.Module):
    """A stage: blocks with windows on the grid and between its lines in turn, then a merge."""

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
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )
        apart = find_apart(size, shift) if shift else torch.zeros(1, 1, 1, 1)
        self.apart_G1LL = nn.Buffer(apart, persistent=False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        shift, size = self.shift, x_BHWC.shape[1]
        attended = self.norm1(x_BHWC)
        if shift:
            attended = attended.roll((-shift, -shift), (1, 2))
        attended = from_windows(self.attn(to_windows(attended), self.apart_G1LL), size)
        if shift:
            attended = attended.roll((shift, shift), (1, 2))
        x_BHWC = x_BHWC + attended
        return x_BHWC + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x_BHWC))))


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
    row_L, column_L = torch.arange(WINDOW).repeat_interleave(WINDOW), torch.arange(WINDOW * WINDOW)
    column_L = column_L % WINDOW
    rows_LL = row_L[:, None] - row_L[None] + WINDOW - 1
    columns_LL = column_L[:, None] - column_L[None] + WINDOW - 1
    return rows_LL * (2 * WINDOW - 1) + columns_LL


def find_apart(size: int, shift: int) -> Tensor:
    """Return (G, 1, L, L), APART for pairs from opposite ends of the picture.

    Such pairs share a shifted window at the edge.
    """
    side = torch.zeros(size)
    side[-WINDOW:], side[-shift:] = 1, 2
    region_HW = 3 * side[:, None] + side[None]
    region_GL = to_windows(region_HW[None, :, :, None])[0, :, :, 0]
    apart_GLL = region_GL[:, :, None] != region_GL[:, None]
    return APART * apart_GLL[:, None].float()
