"""Define the interface that the engine needs of a network, and fold our networks into that form.

Shapes: B batch, N frames, F bins, D condition, S all shifts of one query side by side.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from separator.model.asp_unet import AspConfig, AspUnet
from separator.model.folded import FoldedResUNet
from separator.model.folded_asp import FoldedAspUnet
from separator.model.resunet import NetworkConfig, ResUNet

Network = ResUNet | AspUnet
Config = NetworkConfig | AspConfig


class Folded(Protocol):
    """A network in its fast form, a torch module. It sees windows of normalised magnitudes."""

    grid_frames: int  # windows start on multiples of this and are whole multiples long
    context_frames: int  # on either side, a multiple of the grid: enough for exact windows
    last_gain: float  # the gain of the highest bin, which the network does not compute

    @property
    def slice_frames(self) -> int:
        """The number of frames that a block computes at once; 0: all of them."""
        ...

    def compute_shifts(self, condition_BD: Tensor) -> Tensor:
        """Compute the shifts (B, S) that conditions add inside the network."""
        ...

    def normalize(self, magnitude_BNF: Tensor) -> Tensor:
        """Normalise a whole stretch (B, N, F - 1), filled up to the grid at its end."""
        ...

    def buffers(self) -> Iterator[Tensor]:
        """List the weights."""
        ...

    def compile(self, **options: Any) -> None:
        """Let torch compile it at the next call."""
        ...

    def __call__(self, x_BNF: Tensor, shifts_BS: Tensor) -> Tensor:
        """Compute the complex gain (B, N, F - 1, 2) of windows."""
        ...


def make_network(config: Config) -> Network:
    return AspUnet(config) if isinstance(config, AspConfig) else ResUNet(config)


def fold(net: Network, narrow: torch.dtype, device: torch.device) -> Folded:
    """Fold a network for evaluation on a device; its 3x3 convolutions get inputs of `narrow`."""
    if isinstance(net, AspUnet):
        return FoldedAspUnet(net, narrow).eval().to(device)
    return FoldedResUNet(net, narrow, on_gpu=device.type == "cuda").eval().to(device)


def shift_each(net: Folded, conditions_QD: Tensor) -> Tensor:
    """Compute the shifts (Q, S) of one query at a time: a product of several rows is rounded in
    another way than that of one, and no stem may depend on which others are separated with it."""
    return torch.cat([net.compute_shifts(one_1D) for one_1D in conditions_QD.split(1)])


def count_flops(config: Config) -> float:
    """Count the multiply-adds x 2 of the 3x3 convolutions per frame: nine tenths of the work."""
    widths, flops, positions = config.widths, 0.0, float(config.num_bins - 1)
    if isinstance(config, AspConfig):
        per_position = 2 * widths[0] ** 2  # of the block behind the last decoder
        for i, (num_in, width) in enumerate(zip((1, *widths), widths, strict=False)):
            per_position += (num_in + width) * width
            if i < len(widths) - 1:
                # A position of a transposed convolution costs a quarter: its stride is two by two.
                per_position += 3 * width**2 + widths[i + 1] * width / 4
            flops += 18 * positions * per_position
            positions, per_position = positions / 4, 0
        return flops
    num_in = widths[0]
    for i, width in enumerate(widths):
        encoder, decoder = (num_in + width) * width, 3 * width * width
        flops += 18 * positions * (encoder + decoder)
        positions /= 4 if i < 5 else 2
        num_in = width
    return flops
