"""Run the blocks of a network over slices of their frames, so that the maps inside a block take
little memory however long a window is.

Shapes: B batch, N frames, S shifts.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from separator.model.asp_unet import AspConfig
from separator.model.resunet import NetworkConfig

# The size of a slice of the largest map in fp32: 128 frames of the full network. Frames of other
# levels are as large, so their slices have as many. Small slices take less memory, but more time.
SLICE_BYTES = 1 << 24
MARGIN = 2  # frames to either side that two 3x3 convolutions see


class Runner:
    """Call blocks in slices of at most `slice_frames` frames, or whole if that is 0."""

    def __init__(self, slice_frames: int) -> None:
        self.slice_frames = slice_frames
        self.is_compiled = False

    def compile(self, blocks: Iterable[nn.Module], **options: Any) -> None:
        """Let torch compile each block at its next call."""
        # Each block is a graph of its own; the limit of 8 is by function, not by module.
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        for block in blocks:
            block.compile(**options)
        self.is_compiled = True

    def __call__(self, block: Callable[..., Tensor], shifts_BS: Tensor, *maps: Tensor) -> Tensor:
        """Run a block on maps (B, N, ...); the last one has the resolution of its result.

        Slices are of one item (B = 1): several would gain nothing.
        """
        if not self.slice_frames:
            return block(shifts_BS, *maps)
        num_frames, whole = maps[-1].shape[1], None
        for start in range(0, num_frames, self.slice_frames):
            stop = min(num_frames, start + self.slice_frames)
            low, high = max(0, start - MARGIN), min(num_frames, stop + MARGIN)
            frames = [
                slice(low * map_.shape[1] // num_frames, high * map_.shape[1] // num_frames)
                for map_ in maps
            ]
            # Drop the first dimension and restore it: for torch's compiler, a slice of the second
            # dimension is dense only if there is no first one.
            cut = [map_[0, part][None] for map_, part in zip(maps, frames, strict=True)]
            if self.is_compiled:
                mark_sizes(shifts_BS, *cut)
            core = block(shifts_BS, *cut)[:, start - low : stop - low]
            if stop - start == num_frames:
                return core
            if whole is None:
                whole = core.new_empty(1, num_frames, *core.shape[2:])
            whole[:, start:stop] = core
        assert whole is not None
        return whole


def count_map_bytes(config: NetworkConfig | AspConfig) -> int:
    """Count the bytes of one frame of a network's largest map, in fp32."""
    return 4 * config.widths[0] * (config.num_bins - 1)


def choose_slice(config: NetworkConfig) -> int:
    """Return the frames of a slice: an even number, as blocks halve the frames."""
    return max(32, SLICE_BYTES // count_map_bytes(config) // 2 * 2)


def mark_sizes(shifts_BS: Tensor, *maps: Tensor) -> None:
    """Tell the compiler which sizes vary, so that one graph serves every length.

    Batches of one are a graph of their own: the compiler treats sizes of 1 as constants. Bins are
    not marked (`dynamic=True` would): the compiler would equate equal numbers of frames and bins.
    """
    for map_ in maps:
        torch._dynamo.maybe_mark_dynamic(map_, 1)
    if len(shifts_BS) > 1:
        for tensor in (shifts_BS, *maps):
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
