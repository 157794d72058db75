"""Convolve and multiply in full fp32 on a GPU, or with TF32 if its ten bits are enough."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import RLock

import torch

_lock = RLock()


@contextmanager
def plain_torch() -> Iterator[None]:
    """Compute in fp32 on the devices that the code names, whatever autocast, default type or
    default device the caller has set for work of its own."""
    default = torch.get_default_dtype()
    if default != torch.float32:
        torch.set_default_dtype(torch.float32)
    # Entered only if needed: in this context every call of torch takes a little longer.
    on_cpu = torch.device("cpu") if torch.get_default_device().type != "cpu" else nullcontext()
    try:
        with on_cpu, torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        if default != torch.float32:
            torch.set_default_dtype(default)


@contextmanager
def computing(device: torch.device, is_exact: bool = True) -> Iterator[None]:
    """Start convolutions and matrix products in this context, and wait for their results outside.

    With `is_exact`, cuDNN uses only algorithms that give the same bits each time. The switches are
    shared by all threads, and take effect when an operation is started.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn.flags(True, deterministic=is_exact, allow_tf32=not is_exact)
    with _lock, cudnn:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = not is_exact
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
