"""The ResUNet for evaluation: the same function with the norms, biases and 1x1 maps folded away.

What is linear and follows something linear is multiplied out once, when the weights are known:
batch norms and FiLM become one scale per channel and one shift per channel and query; a decoder's
upsampling (kernel = stride) and its shortcut become one matrix product at the lower resolution;
the last convolution and `after_conv` become one with 3 outputs. Rounding differs, nothing else.

Shapes: B batch, N frames, F bins, D condition, S all shifts of one query side by side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.model.resunet import GRID_FRAMES, LEAK, DecoderBlock, ResidualBlock, ResUNet


def affine_of(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(scale, shift) of a batch norm with its statistics fixed."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def convolve(x_BNFC: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution that keeps the size. Channels lie last throughout: no layout is left to chance."""
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    return F.conv2d(x_BNFC.permute(0, 3, 1, 2), weight, bias, padding=padding).permute(0, 2, 3, 1)


def pool(x_BNFC: Tensor, stride: tuple[int, int]) -> Tensor:
    return F.avg_pool2d(x_BNFC.permute(0, 3, 1, 2), stride).permute(0, 2, 3, 1)


def upsample(h_BNFC: Tensor, weight_OI: Tensor, stride: tuple[int, int]) -> Tensor:
    """A transposed convolution with kernel = stride: a product per pixel, then unfolding it."""
    num_batch, num_frames, num_bins, _ = h_BNFC.shape
    y = F.linear(h_BNFC, weight_OI)
    y = y.view(num_batch, num_frames, num_bins, *stride, -1).transpose(2, 3)
    return y.reshape(num_batch, num_frames * stride[0], num_bins * stride[1], -1)


class Sites:
    """Gathers the film layers in forward order, so that all shifts come from one product."""

    def __init__(self, net: ResUNet) -> None:
        self.film = net.film
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []

    def add(self, path: str, norm: nn.BatchNorm2d) -> Tensor:
        """Take the site at `path`; returns the norm's scale, its shift joins the film's bias."""
        scale, shift = affine_of(norm)
        layer = self.film.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        self.weights.append(layer.weight)
        self.biases.append(layer.bias + shift)
        return scale


class FoldedBlock(nn.Module):
    """A residual block; `after` (outputs x channels) is multiplied onto its linear outputs."""

    def __init__(
        self, block: ResidualBlock, path: str, sites: Sites, after: Tensor | None = None
    ) -> None:
        super().__init__()
        self.scale = nn.Buffer(sites.add(f"{path}->beta1", block.bn1))
        scale2 = sites.add(f"{path}->beta2", block.bn2)
        self.conv1 = nn.Buffer(block.conv1.weight * scale2[:, None, None, None])
        conv2 = block.conv2.weight
        self.conv2 = nn.Buffer(
            conv2 if after is None else torch.einsum("oi,ijhw->ojhw", after, conv2)
        )

    def forward(self, activated: Tensor, around: Tensor, shift2: Tensor) -> Tensor:
        """`activated` is the input after its first activation, `around` what is added at the end."""
        h = convolve(activated, self.conv1)
        return convolve(F.leaky_relu(h + shift2, LEAK), self.conv2) + around


class FoldedEncoder(FoldedBlock):
    def __init__(self, block: ResidualBlock, path: str, sites: Sites) -> None:
        super().__init__(block, path, sites)
        self.shortcut = block.shortcut

    def run(self, x: Tensor, shift1: Tensor, shift2: Tensor) -> Tensor:
        activated = F.leaky_relu(x * self.scale + shift1, LEAK)
        return self(
            activated,
            x if self.shortcut is None else convolve(x, self.shortcut.weight, self.shortcut.bias),
            shift2,
        )


class FoldedDecoder(nn.Module):
    def __init__(
        self, block: DecoderBlock, path: str, sites: Sites, last: nn.Conv2d | None = None
    ) -> None:
        super().__init__()
        inner = block.conv_block2
        assert inner.shortcut is not None
        up = block.conv1.weight  # (in, out, kh, kw)
        num_up = up.shape[1]
        around, bias = inner.shortcut.weight[:, :, 0, 0], inner.shortcut.bias
        assert bias is not None
        after = None
        if last is not None:
            after = last.weight[:, :, 0, 0]
            assert last.bias is not None
            around, bias = after @ around, after @ bias + last.bias
        self.stride = (up.shape[2], up.shape[3])
        self.num_up = num_up
        self.scale = nn.Buffer(sites.add(f"{path}->beta1", block.bn1))
        # Rows: first what is upsampled, then the shortcut of what is upsampled, per output pixel.
        both = torch.cat([up, torch.einsum("oi,cihw->cohw", around[:, :num_up], up)], dim=1)
        self.up = nn.Buffer(both.permute(2, 3, 1, 0).reshape(-1, both.shape[0]))
        self.around = nn.Buffer(around[:, num_up:, None, None])
        self.bias = nn.Buffer(bias)
        self.block = FoldedBlock(inner, f"{path}->conv_block2", sites, after)

    def run(self, x: Tensor, skip: Tensor, shifts: list[Tensor]) -> Tensor:
        h = F.leaky_relu(x * self.scale + shifts[0], LEAK)
        up, around = upsample(h, self.up, self.stride).split([self.num_up, len(self.bias)], dim=-1)
        activated = F.leaky_relu(torch.cat([up, skip], -1) * self.block.scale + shifts[1], LEAK)
        return self.block(activated, convolve(skip, self.around, self.bias) + around, shifts[2])


class FoldedResUNet(nn.Module):
    """Magnitudes (B, N, F) and shifts (B, S) -> maps (B, 3, N, F - 1)."""

    def __init__(self, net: ResUNet) -> None:
        super().__init__()
        base, sites = net.base, Sites(net)
        scale, shift = affine_of(base.bn0)  # pyright: ignore
        self.scale0, self.shift0 = nn.Buffer(scale[:-1]), nn.Buffer(shift[:-1])
        assert base.pre_conv.bias is not None
        self.pre_weight = nn.Buffer(base.pre_conv.weight[:, 0, 0, 0])
        self.pre_bias = nn.Buffer(base.pre_conv.bias)
        self.strides = [block.pool for block in base.encoders]
        self.encoders = nn.ModuleList(
            FoldedEncoder(block.conv_block1, f"encoder_block{i}->conv_block1", sites)
            for i, block in enumerate(base.encoders, start=1)
        )
        self.middle = FoldedEncoder(
            base.conv_block7a.conv_block1, "conv_block7a->conv_block1", sites
        )
        self.decoders = nn.ModuleList(
            FoldedDecoder(block, f"decoder_block{i}", sites, base.after_conv if i == 6 else None)
            for i, block in enumerate(base.decoders, start=1)
        )
        self.film_weight = nn.Buffer(torch.cat(sites.weights))
        self.film_bias = nn.Buffer(torch.cat(sites.biases))
        self.shift_sizes = [len(bias) for bias in sites.biases]
        self.requires_grad_(False)

    def compute_shifts(self, condition_BD: Tensor) -> Tensor:
        return F.linear(condition_BD, self.film_weight, self.film_bias)

    def normalize(self, magnitude_BNF: Tensor) -> Tensor:
        """The network's input (B, N, F - 1): zeros fill the frame grid after the norm, not before."""
        x = magnitude_BNF[..., :-1] * self.scale0 + self.shift0
        return F.pad(x, (0, 0, 0, -x.shape[1] % GRID_FRAMES))

    def forward(self, x_BNF: Tensor, shifts_BS: Tensor) -> Tensor:
        shifts = list(shifts_BS[:, None, None].split(self.shift_sizes, dim=-1))
        x = x_BNF[..., None] * self.pre_weight + self.pre_bias
        skips = []
        for block, stride in zip(self.encoders, self.strides, strict=True):
            x = block.run(x, shifts.pop(0), shifts.pop(0))
            skips.append(x)
            x = pool(x, stride)
        x = self.middle.run(x, shifts.pop(0), shifts.pop(0))
        for block in self.decoders:
            x = block.run(x, skips.pop(), [shifts.pop(0) for _ in range(3)])
        return x.permute(0, 3, 1, 2)
