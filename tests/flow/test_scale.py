"""Hours of sound in the memory of minutes, by the benchmark itself."""

import json
import subprocess
import sys

import pytest

from tests.helpers.job import ROOT

STAGES = ("separate", "extract and publish", "assemble", "driver")


def measure_long(tmp_path, minutes: float) -> dict:
    out = tmp_path / f"{minutes}.json"
    command = [sys.executable, "benchmarks/flow.py", "--short=0", "--long=1", "--device=cpu"]
    command += [f"--minutes={minutes}", f"--out={out}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=1_500)
    (case,) = json.loads(out.read_text())["results"]
    assert case["failed"] == 0 and case["assets"] == 1
    return case


@pytest.mark.slow
def test_memory_does_not_grow_from_twenty_minutes_to_three_hours(tmp_path):
    short, long = measure_long(tmp_path, 20), measure_long(tmp_path, 180)
    for stage in STAGES:
        # 48 kHz stereo floats: what is left over would be 3.7 GB more.
        assert long["peak_mb"][stage] < 1.2 * short["peak_mb"][stage] + 100, stage
