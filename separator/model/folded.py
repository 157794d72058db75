"""Fold the ResUNet's norms, biases and 1x1 maps into fewer operations, for evaluation.

Linear maps in a row are multiplied out once, when the weights are known: batch norms and FiLM
become one scale per channel and one shift per channel and query; a decoder's upsampling (kernel =
stride) and its shortcut become one matrix product at the lower resolution; the last convolution and
`after_conv` become one with 3 outputs. The result differs from `resunet.py` by rounding only.

Shapes: B batch, N frames, F bins, D condition, S all shifts of one query side by side.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.model.resunet import GRID_FRAMES, LEAK, DecoderBlock, ResidualBlock, ResUNet
from separator.model.spectrogram import compute_gain

CONTEXT_FRAMES = 11 * GRID_FRAMES  # the network sees 319 to either side, STFT and resampler 5 more


def normalize(magnitude_BNF: Tensor, scale: Tensor, shift: Tensor, grid_frames: int) -> Tensor:
    """Normalise magnitudes to (B, N, F - 1); zeros fill the grid after the norm, not before."""
    x = magnitude_BNF[..., :-1] * scale + shift
    return F.pad(x, (0, 0, 0, -x.shape[1] % grid_frames))


def affine_of(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return (scale, shift) of a batch norm with its statistics fixed."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


class Dtypes(NamedTuple):
    wide: torch.dtype
    narrow: torch.dtype


def choose_dtypes(narrow: torch.dtype, on_gpu: bool) -> list[Dtypes]:
    """List the types per level of the U, from the full resolution down, then the last decoder.

    A GPU multiplies fp16 as fast as bf16, and its three more bits are worth 12 dB. Sums beyond
    65,504 become infinite there: the engine looks for them.
    """
    wide = torch.float32
    if on_gpu and narrow == torch.bfloat16:
        return [Dtypes(torch.float16, torch.float16)] * 8
    return [Dtypes(wide, narrow)] * 4 + [Dtypes(narrow, narrow)] * 3 + [Dtypes(wide, wide)]


def pack(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Lay out the weight of a convolution with channels last."""
    return weight.to(dtype).contiguous(memory_format=torch.channels_last)


def pack_upsampling(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Reorder (in, out, kh, kw) to (kh kw out, in): one row per output pixel and channel."""
    return weight.permute(2, 3, 1, 0).reshape(-1, len(weight)).to(dtype)


def convolve(x_BNFC: Tensor, weight: Tensor) -> Tensor:
    """Convolve by 3x3 and keep the size; channels stay last."""
    return F.conv2d(x_BNFC.permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)


def activate(x_BNFC: Tensor, scale: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute the leaky ReLU of `x * scale + shift`, in a new array."""
    return F.leaky_relu_(torch.addcmul(shift, x_BNFC, scale), LEAK).to(dtype)


def pool(x_BNFC: Tensor, stride: tuple[int, int]) -> Tensor:
    return F.avg_pool2d(x_BNFC.permute(0, 3, 1, 2), stride).permute(0, 2, 3, 1)


def unfold(y_BNFO: Tensor, stride: tuple[int, int]) -> Tensor:
    """Move pixels to their places: the second half of a transposed convolution, kernel = stride."""
    num_batch, num_frames, num_bins, _ = y_BNFO.shape
    y = y_BNFO.view(num_batch, num_frames, num_bins, *stride, -1).transpose(2, 3)
    return y.reshape(num_batch, num_frames * stride[0], num_bins * stride[1], -1)


class Shifts:
    """The FiLM layers by path, e.g. `conv_block7a->conv_block1->beta1`, with the norms' shifts."""

    def __init__(self, net: ResUNet) -> None:
        self.film = net.film
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[str, Tensor] = {}

    def fold(self, path: str, norm: nn.BatchNorm2d) -> Tensor:
        """Add the norm's shift to the bias of the FiLM layer at `path`; return the norm's scale."""
        scale, shift = affine_of(norm)
        layer = self.film.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        self.weights[path], self.biases[path] = layer.weight, layer.bias + shift
        return scale


class FoldedBlock(nn.Module):
    """A residual block. Sums are `wide`, inputs of the 3x3 convolutions `narrow`."""

    def __init__(
        self,
        block: ResidualBlock,
        path: str,
        shifts: Shifts,
        dtypes: Dtypes,
        after: Tensor | None = None,
    ) -> None:
        """Fold `block` at `path`; `after` is a 1x1 map that follows its second convolution."""
        super().__init__()
        self.dtypes = dtypes
        self.beta1, self.beta2 = f"{path}->beta1", f"{path}->beta2"
        self.scale = nn.Buffer(shifts.fold(self.beta1, block.bn1).to(dtypes.wide))
        scale2 = shifts.fold(self.beta2, block.bn2)
        conv1, conv2 = block.conv1.weight * scale2[:, None, None, None], block.conv2.weight
        if after is not None:
            conv2 = torch.einsum("oi,ijhw->ojhw", after, conv2)
        self.conv1 = nn.Buffer(pack(conv1, dtypes.narrow))
        self.conv2 = nn.Buffer(pack(conv2, dtypes.narrow))

    def add_to(self, around: Tensor, activated: Tensor, shifts: dict[str, Tensor]) -> Tensor:
        """Add both convolutions of the activated input to the shortcut's result."""
        h = convolve(activated, self.conv1)
        del activated
        h = convolve(F.leaky_relu_(h.add_(shifts[self.beta2].to(h.dtype)), LEAK), self.conv2)
        return around + h


class FoldedEncoder(FoldedBlock):
    """An encoder's residual block without its pooling."""

    def __init__(self, block: ResidualBlock, path: str, shifts: Shifts, dtypes: Dtypes) -> None:
        super().__init__(block, path, shifts, dtypes)
        self.has_shortcut = block.shortcut is not None
        if block.shortcut is not None:
            assert block.shortcut.bias is not None
            self.shortcut = nn.Buffer(block.shortcut.weight[:, :, 0, 0].to(dtypes.wide))
            self.bias = nn.Buffer(block.shortcut.bias.to(dtypes.wide))

    def run(self, x: Tensor, shifts: dict[str, Tensor]) -> Tensor:
        x = x.to(self.dtypes.wide)
        around = F.linear(x, self.shortcut, self.bias) if self.has_shortcut else x
        activated = activate(x, self.scale, shifts[self.beta1].to(x.dtype), self.dtypes.narrow)
        return self.add_to(around, activated, shifts)


class FoldedDecoder(nn.Module):
    """A decoder: upsampling, the encoder's skip and the residual block."""

    def __init__(
        self,
        block: DecoderBlock,
        path: str,
        shifts: Shifts,
        dtypes: Dtypes,
        last: nn.Conv2d | None = None,
    ) -> None:
        """Fold `block` at `path`; `last` is the 1x1 convolution that follows the last decoder."""
        super().__init__()
        inner = block.conv_block2
        assert inner.shortcut is not None and inner.shortcut.bias is not None
        up = block.conv1.weight  # (in, out, kh, kw)
        num_up = up.shape[1]
        around, bias, after = inner.shortcut.weight[:, :, 0, 0], inner.shortcut.bias, None
        if last is not None:
            assert last.bias is not None
            after = last.weight[:, :, 0, 0]
            around, bias = after @ around, after @ bias + last.bias
        self.stride = (up.shape[2], up.shape[3])
        self.dtypes = dtypes
        self.beta1 = f"{path}->beta1"
        self.scale = nn.Buffer(shifts.fold(self.beta1, block.bn1).to(dtypes.wide))
        around_up = torch.einsum("oi,cihw->cohw", around[:, :num_up], up)
        self.around_up = nn.Buffer(pack_upsampling(around_up, dtypes.wide))
        self.around_skip = nn.Buffer(around[:, num_up:].to(dtypes.wide))
        self.bias = nn.Buffer(bias.to(dtypes.wide))
        self.block = FoldedBlock(inner, f"{path}->conv_block2", shifts, dtypes, after)
        # Only the block's first norm reads the upsampled half: its scale is folded in here.
        scaled_up = up * self.block.scale[:num_up, None, None]
        self.up = nn.Buffer(pack_upsampling(scaled_up, dtypes.narrow))

    def run(self, x: Tensor, skip: Tensor, shifts: dict[str, Tensor]) -> Tensor:
        wide, narrow = self.dtypes
        skip = skip.to(wide)
        h = activate(x.to(wide), self.scale, shifts[self.beta1].to(wide), wide)
        around = F.linear(skip, self.around_skip, self.bias)
        around = around + unfold(F.linear(h, self.around_up), self.stride)
        # Activated before it is unfolded, while the pixels still lie side by side.
        num_up, num_pixels = skip.shape[-1], self.stride[0] * self.stride[1]
        shift_up, shift_skip = shifts[self.block.beta1].split([num_up, num_up], dim=-1)
        up = F.linear(h.to(narrow), self.up).add_(shift_up.repeat(1, 1, 1, num_pixels).to(narrow))
        up = unfold(F.leaky_relu_(up, LEAK), self.stride)
        skip = activate(skip, self.block.scale[num_up:], shift_skip.to(wide), narrow)
        return self.block.add_to(around, torch.cat([up, skip], -1), shifts)


class FoldedResUNet(nn.Module):
    """The network: normalised magnitudes (B, N, F - 1), shifts (B, S) -> gains (B, N, F - 1, 2)."""

    grid_frames = GRID_FRAMES
    context_frames = CONTEXT_FRAMES
    last_gain = 0.0  # of the highest bin, which the network does not see

    def __init__(
        self, net: ResUNet, narrow: torch.dtype = torch.float32, on_gpu: bool = False
    ) -> None:
        super().__init__()
        base, shifts, dtypes = net.base, Shifts(net), choose_dtypes(narrow, on_gpu)
        scale, shift = affine_of(base.bn0)  # pyright: ignore[reportArgumentType]
        self.scale0, self.shift0 = nn.Buffer(scale[:-1]), nn.Buffer(shift[:-1])
        assert base.pre_conv.bias is not None
        self.pre_weight = nn.Buffer(base.pre_conv.weight[:, 0, 0, 0].clone())
        self.pre_bias = nn.Buffer(base.pre_conv.bias.clone())
        self.strides = [block.pool for block in base.encoders] + [(1, 1)]
        blocks = [(b, f"encoder_block{i}") for i, b in enumerate(base.encoders, start=1)]
        blocks.append((base.conv_block7a, "conv_block7a"))
        self.encoders = nn.ModuleList(
            FoldedEncoder(block.conv_block1, f"{path}->conv_block1", shifts, dtypes[level])
            for level, (block, path) in enumerate(blocks)
        )
        self.decoders = nn.ModuleList(
            FoldedDecoder(block, f"decoder_block{i}", shifts, dtypes[6 - i])
            if i < 6
            else FoldedDecoder(block, f"decoder_block{i}", shifts, dtypes[-1], base.after_conv)
            for i, block in enumerate(base.decoders, start=1)
        )
        self.film_weight = nn.Buffer(torch.cat(list(shifts.weights.values())))
        self.film_bias = nn.Buffer(torch.cat(list(shifts.biases.values())))
        self.shift_sizes = {path: len(bias) for path, bias in shifts.biases.items()}
        self.requires_grad_(False)

    def compute_shifts(self, condition_BD: Tensor) -> Tensor:
        """Compute all shifts (B, S) of the conditions by one matrix product."""
        return F.linear(condition_BD, self.film_weight, self.film_bias)

    def normalize(self, magnitude_BNF: Tensor) -> Tensor:
        return normalize(magnitude_BNF, self.scale0, self.shift0, GRID_FRAMES)

    def forward(self, x_BNF: Tensor, shifts_BS: Tensor) -> Tensor:
        parts = shifts_BS[:, None, None].split(list(self.shift_sizes.values()), dim=-1)
        shifts = dict(zip(self.shift_sizes, parts, strict=True))
        x = x_BNF[..., None] * self.pre_weight + self.pre_bias
        skips = []
        for block, stride in zip(self.encoders, self.strides, strict=True):
            x = block.run(x, shifts)  # pyright: ignore[reportCallIssue]
            skips.append(x)
            x = x if stride == (1, 1) else pool(x, stride)
        skips.pop()
        for block in self.decoders:
            x = block.run(x, skips.pop(), shifts)  # pyright: ignore[reportCallIssue]
        # Real pairs, as compilers do not support complex numbers.
        return torch.stack(compute_gain(*x.float().unbind(-1)), dim=-1)
