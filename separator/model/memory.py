"""Budget the memory of a forward, and keep its pages between forwards."""

import contextlib
import threading
from collections.abc import Iterator

import torch

from separator.machine import find_glibc, measure_ram

# A share of the total memory, not of the free memory: the same machine cuts the same windows, so a
# rerun gives the same bytes.
SHARE = {"cpu": 0.4, "cuda": 0.6}


def measure_memory(device: torch.device) -> int:
    """Return the bytes of the GPU's memory, or of RAM as far as the container allows."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return measure_ram()


def choose_budget(device: torch.device, own_share: float = 1.0) -> int:
    """Return the bytes that one forward may take by default. `own_share`: the part of the device
    that this process may use."""
    return int(measure_memory(device) * SHARE.get(device.type, 0.4) * min(1.0, own_share))


# mallopt's names for the two settings, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
DEFAULT_MMAP_MAX = 65_536
_lock = threading.Lock()
_holders = 0


@contextlib.contextmanager
def keep_pages() -> Iterator[None]:
    """Allocate large arrays on the heap, which keeps its pages, while this context is open.

    glibc maps every array above 32 MB afresh and unmaps it at once; on CPU the kernel then spends
    more than half of a plain forward zeroing the same pages again. Arrays made outside are returned
    to the system as usual. Forwards of different sizes leave holes in the heap: call
    `release_pages` between them.
    """
    global _holders
    glibc = find_glibc()
    if glibc is None:
        yield
        return
    with _lock:
        _holders += 1
        if _holders == 1:
            glibc.mallopt(M_MMAP_MAX, 0)
            glibc.mallopt(M_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                glibc.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
