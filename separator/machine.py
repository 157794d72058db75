"""Find out the CPUs that this process may use. Knows files of Linux, nothing of the job."""

import math
import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def count_cpus(cgroup: Path = CGROUP) -> int:
    """Count at least one: the CPUs it may run on, and no more than the quota of its container."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        allowed = os.cpu_count() or 1
    return max(1, int(min(allowed, read_quota(cgroup))))


def read_quota(cgroup: Path) -> float:
    """Read the CPU time per time that the container gets; infinity without a limit."""
    with suppress(OSError, ValueError):  # "max" is no number
        quota, period = (cgroup / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota = int((cgroup / "cpu/cpu.cfs_quota_us").read_text())
        period = int((cgroup / "cpu/cpu.cfs_period_us").read_text())
        if quota > 0:
            return quota / period
    return math.inf
