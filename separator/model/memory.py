"""How much memory a forward may take, and keeping its pages. Knows the machine only."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch

# Of what the machine has, not of what is free just now: the same machine cuts the same windows,
# so a rerun gives the same bytes.
SHARE = {"cpu": 0.4, "cuda": 0.6}


def measure_memory(device: torch.device) -> int:
    """Bytes of the device's memory, or of RAM as far as the container allows."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # absent, or the word "max"
            total = min(total, int(Path(limit).read_text()))
    return total


def choose_budget(device: torch.device) -> int:
    return int(measure_memory(device) * SHARE.get(device.type, 0.4))


# mallopt's names for the two settings, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
DEFAULT_MMAP_MAX = 65_536
_lock = threading.Lock()
_holders = 0


@lru_cache(maxsize=1)
def find_glibc() -> ctypes.CDLL | None:
    """The C library if it is glibc, whose settings these are, else None."""
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError, TypeError):
        return None


def release_pages() -> None:
    """Give all free pages back, also those between arrays still in use."""
    if glibc := find_glibc():
        glibc.malloc_trim(0)


@contextlib.contextmanager
def keep_pages() -> Iterator[None]:
    """Let large arrays come from the heap, whose pages stay, for as long as this is open.

    glibc gives every array above 32 MB pages of its own and returns them at once; on CPU more than
    half of a plain forward goes into the kernel zeroing the same pages again. The heap then keeps
    what one forward needs; arrays made outside are returned to the system as ever. Forwards of
    another size leave holes that do not fit: call `release_pages` between them.
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
