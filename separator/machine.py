"""Measure the CPUs and RAM that the container allows, and return free memory to the system."""

import ctypes
import math
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
# mallopt's name for the setting, from glibc's malloc.h.
M_ARENA_MAX = -8


def count_cpus(cgroup: Path = CGROUP) -> int:
    """Count the CPUs of the process's affinity, limited by the container's quota; at least one."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        allowed = os.cpu_count() or 1
    return max(1, int(min(allowed, read_cpu_quota(cgroup))))


def measure_ram(cgroup: Path = CGROUP) -> int:
    """Return the bytes of RAM, as far as the container allows."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # absent, or the word "max"
            total = min(total, int((cgroup / name).read_text()))
    return total


def read_cpu_quota(cgroup: Path) -> float:
    """Return the CPUs' worth of time that the container gets, or infinity."""
    with suppress(OSError, ValueError):  # "max" is no number
        quota, period = (cgroup / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota = int((cgroup / "cpu/cpu.cfs_quota_us").read_text())
        period = int((cgroup / "cpu/cpu.cfs_period_us").read_text())
        if quota > 0:
            return quota / period
    return math.inf


@lru_cache(maxsize=1)
def find_glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc, which alone has these settings, else None."""
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError, TypeError):
        return None


def release_pages() -> None:
    """Return all free pages to the system, also those between arrays still in use."""
    if glibc := find_glibc():
        glibc.malloc_trim(0)


def share_heaps(most: int = 2) -> None:
    """Let all threads of this process allocate from a few heaps instead of eight for each core, so
    that one thread fills the holes that another leaves."""
    if glibc := find_glibc():
        glibc.mallopt(M_ARENA_MAX, most)
