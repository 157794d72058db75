"""Count CPUs and measure RAM against files of both versions of cgroups."""

import math
import os
import subprocess
import sys

import pytest

from separator.machine import count_cpus, measure_ram, read_cpu_quota


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
def test_count_cpus_obeys_container_quota(tmp_path, files, cpus):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    allowed = len(os.sched_getaffinity(0))
    if cpus is None:
        assert read_cpu_quota(tmp_path) == math.inf and count_cpus(tmp_path) == allowed
    else:
        assert read_cpu_quota(tmp_path) == cpus
        assert count_cpus(tmp_path) == max(1, min(allowed, int(cpus)))


def test_count_cpus_obeys_affinity():
    """In a process of its own, as the affinity would stay."""
    cpu = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{cpu}}})\n"
        "from separator.machine import count_cpus; print(count_cpus())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.split() == [b"1"]


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_measure_ram_obeys_container_limit(tmp_path, name):
    total = measure_ram(tmp_path)
    assert total == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for text, limit in (("1000000\n", 1_000_000), ("max\n", total), (f"{2 * total}\n", total)):
        path.write_text(text)
        assert measure_ram(tmp_path) == limit
