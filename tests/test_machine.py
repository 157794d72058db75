"""How many CPUs: those of the affinity, and of a container's quota in both versions of cgroups."""

import math
import os
import subprocess
import sys

import pytest

from separator.machine import count_cpus, read_quota


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "1600000 100000\n"}, 16),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": ""}, None),
        ({}, None),
    ],
)
def test_what_a_container_gets(tmp_path, files, cpus):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    allowed = len(os.sched_getaffinity(0))
    if cpus is None:
        assert read_quota(tmp_path) == math.inf and count_cpus(tmp_path) == allowed
    else:
        assert read_quota(tmp_path) == cpus
        assert count_cpus(tmp_path) == max(1, min(allowed, int(cpus)))


def test_what_a_process_may_run_on():
    """In a process of its own: ours shall keep its CPUs."""
    cpu = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{cpu}}})\n"
        "from separator.machine import count_cpus; print(count_cpus())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.split() == [b"1"]
