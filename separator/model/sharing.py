"""Let several threads separate with one network: one more thread calls it, with what they ask.

On a CPU windows of several threads share batches. A batch has one shape for all windows of a
length, whoever shares it and however full it is: in batches of another shape the last bits of a
gain are others. On a GPU a batch that is not full costs as much as a full one: there each thread's
windows make batches of their own, and the threads share the device alone.

Shapes: B windows, N frames, F bins, S shifts.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from separator.model.forward import Forward

# More only let the first window wait for the last.
SHARED_FRAMES = 8_192
BATCHES_AHEAD = 2  # the GPU has the next one when it is done with one


class SharedForward(Forward):
    """A `Forward` for many threads."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.thread = ThreadPoolExecutor(1, "device")
        self.lock = Lock()
        self.waiting: list[_Request] = []
        self.mixes = self.device.type != "cuda"
        self.started: deque[torch.cuda.Event] = deque()  # batches that a GPU has not done

    def choose_batch(self, num_frames: int) -> int:
        return max(1, min(super().choose_batch(num_frames), SHARED_FRAMES // num_frames))

    def shrink(self, num_frames: int, batch: int, shortest: int) -> None:
        """Shrink for a thread, which asked for one window: `_finish` shrinks larger batches."""
        super().shrink(num_frames, 1, shortest)

    def __call__(self, x_BNF: Tensor, shifts_BS: Tensor) -> Tensor:
        request = _Request(x_BNF, shifts_BS)
        with self.lock:
            self.waiting.append(request)
        try:
            return self.thread.submit(self._finish, request).result()
        finally:
            with self.lock:  # also where the device has failed
                self.waiting.remove(request)

    def _finish(self, request: "_Request") -> Tensor:
        """Run batches until the request is done; it may be, by those of earlier ones."""
        num_frames = request.x_BNF.shape[1]
        while request.num_done < len(request.x_BNF):
            batch = self.choose_batch(num_frames)
            try:
                self._run_batch(request, batch)
            except torch.OutOfMemoryError:
                if batch == 1:
                    raise
                super().shrink(num_frames, batch, num_frames)
        assert request.gains is not None
        return request.gains

    def _run_batch(self, request: "_Request", batch: int) -> None:
        """Run the next windows of the request's length, the oldest first."""
        while len(self.started) >= BATCHES_AHEAD:  # meanwhile more windows come
            self.started.popleft().synchronize()
        alike = [request]
        if self.mixes:
            length = request.x_BNF.shape[1]
            with self.lock:
                alike = [each for each in self.waiting if each.x_BNF.shape[1] == length]
        taken = [(each, i) for each in alike for i in range(each.num_done, len(each.x_BNF))][:batch]
        filled = taken + taken[:1] * (batch - len(taken)) if self.mixes else taken
        x_BNF = torch.stack([each.x_BNF[i] for each, i in filled])
        shifts_BS = torch.stack([each.shifts_BS[i] for each, i in filled])
        gains = super().__call__(x_BNF, shifts_BS)
        if self.device.type == "cuda":
            self.started.append(torch.cuda.Event())
            self.started[-1].record()
        for (each, i), gain in zip(taken, gains, strict=False):
            each.keep(i, gain)


class _Request:
    """Windows that a thread waits for, and the gains that have come."""

    def __init__(self, x_BNF: Tensor, shifts_BS: Tensor) -> None:
        self.x_BNF, self.shifts_BS = x_BNF, shifts_BS
        self.gains: Tensor | None = None
        self.num_done = 0

    def keep(self, i: int, gain: Tensor) -> None:
        """Copy a gain: the next batch of a compiled network takes its place."""
        if self.gains is None:
            self.gains = gain.new_empty(len(self.x_BNF), *gain.shape)
        self.gains[i] = gain
        self.num_done += 1
