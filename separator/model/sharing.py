"""Let several threads separate with one network: one more thread calls it for them, in turn.

What a thread asks for stays a batch of its own: on a GPU a batch that several threads would fill
has to have one size however full it is, for the last bits of a gain depend on it, and one that is
not full costs as much as a full one.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch import Tensor

from separator.model.forward import Forward

# More only let the windows of other threads wait.
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
