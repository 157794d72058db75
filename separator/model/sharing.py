"""Let several threads separate with one network: one further thread calls it for them, in turn.

The windows of each thread stay in batches of their own. On a GPU the last bits of a gain depend on
the size of the batch, so batches that several threads fill would all need one size, and a batch
that is not full costs as much as a full one.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch import Tensor

from separator.model.forward import Forward

# Larger batches only let other threads wait longer.
SHARED_FRAMES = 8_192


class SharedForward(Forward):
    """A `Forward` for many threads."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.thread = ThreadPoolExecutor(1, "device")

    def choose_batch(self, num_frames: int) -> int:
        return max(1, min(super().choose_batch(num_frames), SHARED_FRAMES // num_frames))

    def __call__(self, x_BNF: Tensor, shifts_BS: Tensor) -> Tensor:
        return self.thread.submit(super().__call__, x_BNF, shifts_BS).result()
