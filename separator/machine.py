"""Measure the CPUs and memory of this machine that the process's container lets it use."""

import math
import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


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
