"""The CPU times of benchmarks/media.py."""

import subprocess
import sys
from subprocess import PIPE

from benchmarks.media import measure

WORK_S = 0.4
CODE = f"""
import time
while time.process_time() < {WORK_S}: pass
print("worked", flush=True)
input()
"""


def test_measure_counts_the_cpu_time_of_a_child_that_lives_on():
    children = []

    def work() -> None:
        child = subprocess.Popen([sys.executable, "-c", CODE], stdin=PIPE, stdout=PIPE, text=True)
        children.append(child)
        assert child.stdout is not None and child.stdout.readline() == "worked\n"

    own_s, children_s, _ = measure(work)
    children[0].communicate("\n")
    assert children_s > 0.9 * WORK_S > own_s
