"""Run one forward of the folded network, and choose its compilation and size."""

import contextlib
import logging
import os
from collections import defaultdict
from math import inf
from numbers import Real
from threading import Lock
from typing import Literal, get_args

import torch
from torch import Tensor

from separator.audio.exact import computing
from separator.errors import RequestError
from separator.machine import release_pages
from separator.model import registry
from separator.model.device import Precision, choose_precision
from separator.model.memory import choose_budget, keep_pages
from separator.model.networks import Network, count_flops, fold
from separator.model.slices import count_map_bytes, mark_sizes

log = logging.getLogger(__name__)

CompileMode = Literal["auto", "on", "off"]

# Peak memory per frame, in maps of (first width x bins) fp32 values, as measured (docs/engine.md):
# 6 maps exist at once (9 on a GPU in fp32, whose convolutions need room to work in); on a CPU the
# holes between arrays in the heap take more than that again. With slices, only the maps kept
# between blocks exist for all frames; all other maps exist for the frames of one slice.
PEAK_MAPS = {"cpu": 14, "cuda": 10}
KEPT_MAPS, SLICE_MAPS = 4, 16
# Larger batches gain nothing. On a CPU they need more pages; on a GPU cuDNN is slower by a third
# with 8 windows of 10 s in fp32 (24.6 ms per 10 s and query, and with 4 of them 18.7).
LARGEST_BATCH_FRAMES = {("cpu", "fp32"): 1_024, ("cpu", "bf16"): 1_024, ("cuda", "fp32"): 4_096}
# Kernels index with 32 bits: no array of a batch may reach 2^31 values.
LARGEST_ARRAY = 2**31 - 1
# Compiling costs a minute, and saves 1.9 ms of 3.8 per 470 GFLOP on an H200: on a GPU it pays from
# this work (multiply-adds x 2) on. On CPU it gains a tenth, a quarter with AMX, and needs a C++
# compiler, which few machines of a cluster have: only `compile=on` compiles there.
COMPILE_PAYS = {"cuda": 1.2e16}


class Forward:
    """Call the network on windows up to `longest_window`, in batches up to `choose_batch`."""

    def __init__(
        self,
        net: Network,
        device: torch.device,
        precision: Precision,
        compile: CompileMode,
        memory_bytes: int | None,
    ) -> None:
        if compile not in get_args(CompileMode):
            raise RequestError(f"compile={compile!r}: must be one of {get_args(CompileMode)}")
        if compile == "on" or (compile == "auto" and device.type in COMPILE_PAYS):
            keep_graphs()
        self.device = device
        self.precision = choose_precision(precision, device)
        self.compile: CompileMode = compile
        narrow = torch.bfloat16 if self.precision == "bf16" else torch.float32
        self.net = fold(net, narrow, device)
        self.grid_frames = self.net.grid_frames
        self.config = net.config
        self.is_compiled = False
        self.maps_per_frame = KEPT_MAPS if self.net.slice_frames else PEAK_MAPS.get(device.type, 8)
        self.last_shape = torch.Size()
        self.budget_bytes = choose_budget(device) if memory_bytes is None else memory_bytes
        if not (isinstance(self.budget_bytes, Real) and 0 < self.budget_bytes < inf):
            raise RequestError(f"memory_bytes={memory_bytes!r}: must be a positive number of bytes")
        if compile == "on":
            self.use_compiled()

    @property
    def may_overflow(self) -> bool:
        """Tell whether the network adds in fp16, where sums beyond 65,504 become infinite."""
        return any(tensor.dtype == torch.float16 for tensor in self.net.buffers())

    def count_bytes(self, num_frames: int) -> int:
        """Count the peak memory of one window."""
        in_slice = min(num_frames, self.net.slice_frames)
        maps = self.maps_per_frame * num_frames + SLICE_MAPS * in_slice
        return maps * count_map_bytes(self.config)

    @property
    def longest_window(self) -> int:
        """The frames of the longest window that fits the budget."""
        maps = self.budget_bytes // count_map_bytes(self.config)
        in_slice = self.net.slice_frames
        most = (maps - SLICE_MAPS * in_slice) // self.maps_per_frame
        if most < in_slice:
            most = maps // (self.maps_per_frame + SLICE_MAPS)
        most = int(most) // self.grid_frames * self.grid_frames
        return min(most, self._largest_array_frames)

    @property
    def _largest_array_frames(self) -> int:
        values = 2 * self.config.widths[0] * (self.config.num_bins - 1)
        return LARGEST_ARRAY // values // self.grid_frames * self.grid_frames

    def choose_batch(self, num_frames: int) -> int:
        """Return how many windows of `num_frames` fit the budget, at least one."""
        most = self._largest_array_frames
        most = min(most, LARGEST_BATCH_FRAMES.get((self.device.type, self.precision), most))
        fitting = int(self.budget_bytes // self.count_bytes(num_frames))
        return max(1, min(fitting, most // num_frames))

    def shrink(self, num_frames: int, batch: int, shortest: int) -> None:
        """Halve the budget for good, after the device ran out of memory on this batch."""
        torch.cuda.empty_cache()
        tried = num_frames * batch
        if batch == 1 and num_frames <= shortest:
            raise torch.OutOfMemoryError(
                f"one window of {num_frames} frames does not fit on {self.device}; "
                "use a larger device, precision=bf16, or a shorter context"
            )
        self.budget_bytes = min(self.budget_bytes, self.count_bytes(num_frames) * batch // 2)
        log.warning("out of memory with %d frames at once, going on with half", tried)

    def expect(self, audio_s: float) -> None:
        """Announce work in seconds of audio x queries x passes: `auto` compiles if that pays."""
        frames = audio_s * self.config.rate_hz / self.config.hop
        if self.compile == "auto" and frames * count_flops(self.config) >= COMPILE_PAYS.get(
            self.device.type, float("inf")
        ):
            self.use_compiled()

    def use_compiled(self) -> None:
        """Compile the network once; torch does so at the next call."""
        if not self.is_compiled:
            # Frozen, so that the weights are laid out once. Channels already are the last
            # dimension: the compiler's own choice of layouts would only add transpositions.
            options: dict[str, object] = {"freezing": True, "layout_optimization": False}
            if self.device.type == "cuda":
                options["triton.cudagraphs"] = True
            self.net.compile(options=options)
            self.is_compiled = True

    def __call__(self, x_BNF: Tensor, shifts_BS: Tensor) -> Tensor:
        if self.is_compiled:
            mark_sizes(shifts_BS, x_BNF)
            if self.device.type == "cuda":
                give_graphs_to_thread()
        if self.device.type == "cpu" and x_BNF.shape != self.last_shape:
            release_pages()
            self.last_shape = x_BNF.shape
        is_exact = self.precision == "fp32"
        with keep_pages(), computing(self.device, is_exact), torch.no_grad():
            gains = self.net(x_BNF, shifts_BS)
            # The next replay of a CUDA graph overwrites the result of this one.
            return gains.clone() if self.is_compiled and self.device.type == "cuda" else gains


def keep_graphs() -> None:
    """Let torch keep compiled graphs with our downloads, where a restart finds them; its default is
    a folder in /tmp. TORCHINDUCTOR_CACHE_DIR names another one. Call this before torch's compiler
    is imported, by encoders for example: the import reads the variable."""
    folder = registry.home() / "compiled"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def give_graphs_to_thread() -> None:
    """Let this thread record and replay CUDA graphs.

    Torch keeps graphs by thread, and prepares only the thread that first imports `cudagraph_trees`:
    in any other thread, an assertion of that module fails.
    """
    from torch._inductor import cudagraph_trees  # here: its import takes a second

    local = cudagraph_trees.local
    if not hasattr(local, "tree_manager_containers"):
        local.tree_manager_containers = {}
        local.tree_manager_locks = defaultdict(Lock)
