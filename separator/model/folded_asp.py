"""Fold the zero-shot U-Net's batch norms into its convolutions, for evaluation.

A condition only adds one shift per channel after each activation. All shifts of a query are
computed at once. The result differs from `asp_unet.py` by rounding only.

Shapes: B batch, N frames, F bins, D condition, S all shifts of one query side by side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.model.asp_unet import GRID_FRAMES, LEVELS, AspUnet, ConditionBlock, DecoderBlock
from separator.model.folded import affine_of, normalize, pack


def fold_norm(
    conv: nn.Conv2d, norm: nn.BatchNorm2d, dtype: torch.dtype
) -> tuple[nn.Buffer, nn.Buffer]:
    """Return (weight, bias) of a convolution with the norm behind it."""
    scale, shift = affine_of(norm)
    weight = pack(conv.weight * scale[:, None, None, None], dtype)
    return nn.Buffer(weight), nn.Buffer(shift.to(dtype))


class FoldedAspBlock(nn.Module):
    """Two convolutions with their norms folded in."""

    def __init__(self, block: ConditionBlock, narrow: torch.dtype) -> None:
        super().__init__()
        self.weight1, self.bias1 = fold_norm(block.conv1, block.bn1, narrow)
        self.weight2, self.bias2 = fold_norm(block.conv2, block.bn2, narrow)

    def forward(self, x: Tensor, shift1: Tensor, shift2: Tensor) -> Tensor:
        x = F.relu_(F.conv2d(x, self.weight1, self.bias1, padding=1)).add_(shift1)
        return F.relu_(F.conv2d(x, self.weight2, self.bias2, padding=1)).add_(shift2)


class FoldedAspDecoder(nn.Module):
    def __init__(self, block: DecoderBlock, narrow: torch.dtype) -> None:
        super().__init__()
        scale, shift = affine_of(block.bn1)
        self.up = nn.Buffer(pack(block.conv1.weight * scale[:, None, None], narrow))
        self.bias = nn.Buffer(shift.to(narrow))
        self.block = FoldedAspBlock(block.conv_block2, narrow)

    def forward(self, x: Tensor, skip: Tensor, shifts: list[Tensor]) -> Tensor:
        x = F.conv_transpose2d(x, self.up, self.bias, stride=2)[:, :, :-1, :-1]
        x = F.relu(x).add_(shifts[0])
        return self.block(torch.cat([x, skip], 1), shifts[1], shifts[2])


class FoldedAspUnet(nn.Module):
    """The network: normalised magnitudes (B, N, F - 1), shifts (B, S) -> gains (B, N, F - 1, 2)."""

    grid_frames = GRID_FRAMES
    # 448 frames before and 384 after reach all that a frame depends on; the STFT adds 7.
    context_frames = 8 * GRID_FRAMES
    slice_frames = 0
    last_gain = 0.5  # of the highest bin, which the network does not see

    def __init__(self, net: AspUnet, narrow: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.narrow = narrow
        scale, shift = affine_of(net.bn0)
        self.scale0, self.shift0 = nn.Buffer(scale[:-1]), nn.Buffer(shift[:-1])
        encoders = [net.get_submodule(f"encoder_block{i}.conv_block") for i in range(1, LEVELS + 1)]
        decoders = [net.get_submodule(f"decoder_block{i}") for i in range(1, LEVELS + 1)]
        self.encoders = nn.ModuleList(
            FoldedAspBlock(b, narrow) for b in [*encoders, net.conv_block7]
        )  # pyright: ignore[reportArgumentType]
        self.decoders = nn.ModuleList(FoldedAspDecoder(b, narrow) for b in decoders)  # pyright: ignore[reportArgumentType]
        self.after = FoldedAspBlock(net.after_conv_block1, narrow)
        self.last_weight = nn.Buffer(pack(net.after_conv2.weight, torch.float32))
        assert net.after_conv2.bias is not None
        self.last_bias = nn.Buffer(net.after_conv2.bias.clone())
        # The modules are registered in the order of the forward pass.
        layers = [
            m for name, m in net.named_modules() if name.rpartition(".")[2] in ("emb1", "emb2")
        ]
        self.emb_weight = nn.Buffer(torch.cat([layer.weight for layer in layers]))  # pyright: ignore
        self.emb_bias = nn.Buffer(torch.cat([layer.bias for layer in layers]))  # pyright: ignore
        self.shift_sizes = [len(layer.bias) for layer in layers]  # pyright: ignore
        self.requires_grad_(False)

    def compute_shifts(self, condition_BD: Tensor) -> Tensor:
        """Compute all shifts (B, S) of the conditions by one matrix product."""
        return F.linear(condition_BD, self.emb_weight, self.emb_bias)

    def normalize(self, magnitude_BNF: Tensor) -> Tensor:
        return normalize(magnitude_BNF, self.scale0, self.shift0, GRID_FRAMES)

    def forward(self, x_BNF: Tensor, shifts_BS: Tensor) -> Tensor:
        parts = list(shifts_BS.to(self.narrow)[:, :, None, None].split(self.shift_sizes, 1))
        x = x_BNF[:, None].to(self.narrow).contiguous(memory_format=torch.channels_last)
        skips = []
        for level, block in enumerate(self.encoders):
            x = block(x, parts.pop(0), parts.pop(0))
            if level < LEVELS:
                skips.append(x)
                x = F.avg_pool2d(x, 2)
        for block in self.decoders:
            x = block(x, skips.pop(), [parts.pop(0) for _ in range(3)])
        x = self.after(x, parts.pop(0), parts.pop(0)).float()
        mask_BNF = F.conv2d(x, self.last_weight, self.last_bias)[:, 0].sigmoid()
        # Pairs of real and imaginary part, as from networks that also turn the phase.
        return torch.stack([mask_BNF, torch.zeros_like(mask_BNF)], -1)
