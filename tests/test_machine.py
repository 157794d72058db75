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


@pytest.mark.parametrize(("call", "most"), [("", 100), ("share_heaps()", 2)])
def test_threads_share_few_heaps(tmp_path, call, most):
    """In a process of its own, as the setting would stay."""
    code = f"""
import ctypes, pathlib, sys, threading
from separator.machine import share_heaps
{call}
met = threading.Barrier(21)
def work():
    held = [bytes(5_000) for _ in range(100)]
    met.wait()
    met.wait()
for _ in range(20):
    threading.Thread(target=work, daemon=True).start()
met.wait()
library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
file = library.fopen(sys.argv[1].encode(), b"w")
library.malloc_info(0, ctypes.c_void_p(file))
library.fclose(ctypes.c_void_p(file))
print(pathlib.Path(sys.argv[1]).read_text().count("<heap nr="))
met.wait()
"""
    path = str(tmp_path / "heaps.xml")
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True
    )
    num_heaps = int(run.stdout)
    assert num_heaps <= most
    if not call:
        assert num_heaps > 2, "there is something to share"
