"""Fold the ResUNet's norms, biases and 1x1 maps into fewer operations, for evaluation.

Linear maps in a row are multiplied out once, when the weights are known: batch norms and FiLM
become one scale per channel and one shift per channel and query; a decoder's upsampling (kernel =
stride) and its shortcut become one matrix product at the lower resolution; the last convolution and
`after_conv` become one with 3 outputs. The result differs from `resunet.py` by rounding only.

Shapes: B batch, N frames, F bins, D condition, S all shifts of one query side by side.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.model.resunet import GRID_FRAMES, LEAK, DecoderBlock, ResidualBlock, ResUNet
from separator.model.slices import Runner, choose_slice
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

    A GPU multiplies fp16 as fast as bf16, and its three more bits are worth 12 dB. In fp16, sums
    beyond 65,504 become infinite: the engine finds them and computes such queries in fp32.
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


def take(shifts_BS: Tensor, part: slice) -> Tensor:
    """Take a layer's shifts, shaped to be added to its map."""
    return shifts_BS[:, None, None, part]


class Shifts:
    """The FiLM layers with the norms' shifts, in the order in which they were folded."""

    def __init__(self, net: ResUNet) -> None:
        self.film = net.film
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []
        self.size = 0

    def fold(self, path: str, norm: nn.BatchNorm2d) -> tuple[Tensor, slice]:
        """Add the norm's shift to the bias of the FiLM layer at `path`, such as
        `conv_block7a->conv_block1->beta1`; return the norm's scale, and the slice of its shifts."""
        scale, shift = affine_of(norm)
        layer = self.film.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        self.weights.append(layer.weight)
        self.biases.append(layer.bias + shift)
        start, self.size = self.size, self.size + len(shift)
        return scale, slice(start, self.size)


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
        scale1, self.shift1 = shifts.fold(f"{path}->beta1", block.bn1)
        scale2, self.shift2 = shifts.fold(f"{path}->beta2", block.bn2)
        self.scale = nn.Buffer(scale1.to(dtypes.wide))
        conv1, conv2 = block.conv1.weight * scale2[:, None, None, None], block.conv2.weight
        if after is not None:
            conv2 = torch.einsum("oi,ijhw->ojhw", after, conv2)
        self.conv1 = nn.Buffer(pack(conv1, dtypes.narrow))
        self.conv2 = nn.Buffer(pack(conv2, dtypes.narrow))

    def add_to(self, around: Tensor, activated: Tensor, shifts_BS: Tensor) -> Tensor:
        """Add both convolutions of the activated input to the shortcut's result."""
        h = convolve(activated, self.conv1)
        del activated
        h = h.add_(take(shifts_BS, self.shift2).to(h.dtype))
        return around + convolve(F.leaky_relu_(h, LEAK), self.conv2)


class FoldedEncoder(FoldedBlock):
    """An encoder's residual block without its pooling."""

    def __init__(
        self,
        block: ResidualBlock,
        path: str,
        shifts: Shifts,
        dtypes: Dtypes,
        before: nn.Conv2d | None = None,
    ) -> None:
        """Fold `block` at `path`; `before` is the 1x1 convolution ahead of the first encoder."""
        super().__init__(block, path, shifts, dtypes)
        self.is_first = before is not None
        if before is not None:
            assert before.bias is not None
            self.before_weight = nn.Buffer(before.weight[:, 0, 0, 0].clone())
            self.before_bias = nn.Buffer(before.bias.clone())
        self.has_shortcut = block.shortcut is not None
        if block.shortcut is not None:
            assert block.shortcut.bias is not None
            self.shortcut = nn.Buffer(block.shortcut.weight[:, :, 0, 0].to(dtypes.wide))
            self.bias = nn.Buffer(block.shortcut.bias.to(dtypes.wide))

    def forward(self, shifts_BS: Tensor, x: Tensor) -> Tensor:
        if self.is_first:
            x = x[..., None] * self.before_weight + self.before_bias
        x = x.to(self.dtypes.wide)
        around = F.linear(x, self.shortcut, self.bias) if self.has_shortcut else x
        shift = take(shifts_BS, self.shift1).to(x.dtype)
        activated = activate(x, self.scale, shift, self.dtypes.narrow)
        return self.add_to(around, activated, shifts_BS)


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
        self.is_last = last is not None
        if last is not None:
            assert last.bias is not None
            after = last.weight[:, :, 0, 0]
            around, bias = after @ around, after @ bias + last.bias
        self.stride = (up.shape[2], up.shape[3])
        self.dtypes = dtypes
        scale, self.shift = shifts.fold(f"{path}->beta1", block.bn1)
        self.scale = nn.Buffer(scale.to(dtypes.wide))
        around_up = torch.einsum("oi,cihw->cohw", around[:, :num_up], up)
        self.around_up = nn.Buffer(pack_upsampling(around_up, dtypes.wide))
        self.around_skip = nn.Buffer(around[:, num_up:].to(dtypes.wide))
        self.bias = nn.Buffer(bias.to(dtypes.wide))
        self.block = FoldedBlock(inner, f"{path}->conv_block2", shifts, dtypes, after)
        # Only the block's first norm reads the upsampled half: its scale is folded in here.
        scaled_up = up * self.block.scale[:num_up, None, None]
        self.up = nn.Buffer(pack_upsampling(scaled_up, dtypes.narrow))

    def forward(self, shifts_BS: Tensor, x: Tensor, skip: Tensor) -> Tensor:
        """Return the block's map; the last decoder returns gains as pairs."""
        wide, narrow = self.dtypes
        skip = skip.to(wide)
        h = activate(x.to(wide), self.scale, take(shifts_BS, self.shift).to(wide), wide)
        around = F.linear(skip, self.around_skip, self.bias)
        around = around + unfold(F.linear(h, self.around_up), self.stride)
        # Activate before unfolding, while the pixels of one input point still lie side by side.
        num_up, num_pixels = skip.shape[-1], self.stride[0] * self.stride[1]
        shift_up, shift_skip = take(shifts_BS, self.block.shift1).split([num_up, num_up], dim=-1)
        up = F.linear(h.to(narrow), self.up).add_(shift_up.repeat(1, 1, 1, num_pixels).to(narrow))
        up = unfold(F.leaky_relu_(up, LEAK), self.stride)
        skip = activate(skip, self.block.scale[num_up:], shift_skip.to(wide), narrow)
        y = self.block.add_to(around, torch.cat([up, skip], -1), shifts_BS)
        # Real pairs, as compilers do not support complex numbers.
        return torch.stack(compute_gain(*y.float().unbind(-1)), dim=-1) if self.is_last else y


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
        self.strides = [block.pool for block in base.encoders] + [(1, 1)]
        blocks = [(b, f"encoder_block{i}") for i, b in enumerate(base.encoders, start=1)]
        blocks.append((base.conv_block7a, "conv_block7a"))
        self.encoders = nn.ModuleList(
            FoldedEncoder(
                block.conv_block1,
                f"{path}->conv_block1",
                shifts,
                dtypes[level],
                None if level else base.pre_conv,
            )
            for level, (block, path) in enumerate(blocks)
        )
        self.decoders = nn.ModuleList(
            FoldedDecoder(block, f"decoder_block{i}", shifts, dtypes[6 - i])
            if i < 6
            else FoldedDecoder(block, f"decoder_block{i}", shifts, dtypes[-1], base.after_conv)
            for i, block in enumerate(base.decoders, start=1)
        )
        self.film_weight = nn.Buffer(torch.cat(shifts.weights))
        self.film_bias = nn.Buffer(torch.cat(shifts.biases))
        self.runner = Runner(0 if on_gpu else choose_slice(net.config))
        self.requires_grad_(False)

    @property
    def slice_frames(self) -> int:
        return self.runner.slice_frames

    def compute_shifts(self, condition_BD: Tensor) -> Tensor:
        """Compute all shifts (B, S) of the conditions by one matrix product."""
        return F.linear(condition_BD, self.film_weight, self.film_bias)

    def normalize(self, magnitude_BNF: Tensor) -> Tensor:
        return normalize(magnitude_BNF, self.scale0, self.shift0, GRID_FRAMES)

    def compile(self, **options: Any) -> None:
        """Compile each block if blocks run in slices, else the whole network at once."""
        if not self.slice_frames:
            super().compile(**options)
        else:
            self.runner.compile([*self.encoders, *self.decoders], **options)

    def forward(self, x_BNF: Tensor, shifts_BS: Tensor) -> Tensor:
        if self.slice_frames and len(x_BNF) > 1:
            items = zip(x_BNF.split(1), shifts_BS.split(1), strict=True)
            return torch.cat([self(x, shifts) for x, shifts in items])
        x, skips = x_BNF, []
        for block, stride in zip(self.encoders, self.strides, strict=True):
            x = self.runner(block, shifts_BS, x)
            skips.append(x)
            x = x if stride == (1, 1) else pool(x, stride)
        skips.pop()
        for block in self.decoders:
            x = self.runner(block, shifts_BS, x, skips.pop())
        return x
