"""Convolve in full fp32 on a GPU, or with TF32 where its ten bits are enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_lock = RLock()


@contextmanager
def convolving(device: torch.device, is_exact: bool = True) -> Iterator[None]:
    """Start convolutions here, and wait for their results outside.

    The switch is one for all threads, and counts when a convolution is started.
    """
    if device.type != "cuda":
        yield
        return
    with _lock, torch.backends.cudnn.flags(enabled=True, allow_tf32=not is_exact):
        yield
