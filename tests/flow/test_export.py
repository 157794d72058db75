"""The export as a user calls it: with Ray, killed and called again."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from separator.storage import Storage
from tests.helpers.export_library import hash_tree, write_output
from tests.helpers.job import ROOT


def start(folder: Path, *overrides: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "jobs.cli", "export", str(ROOT / "configs/export.yaml")]
    given = [f"input.uri={folder / 'out'}", "output.shard_mb=0.02", *overrides]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, *given], stdout=pipe, stderr=pipe, text=True, env=environment
    )


def export(folder: Path, *overrides: str, code: int = 0) -> str:
    process = start(folder, *overrides)
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, (out, err[-3_000:])
    return out + err


@pytest.fixture
def output(tmp_path) -> Path:
    write_output(Storage(), str(tmp_path / "out"), num_assets=20)
    return tmp_path


@pytest.mark.slow
def test_killed_and_called_again(output):
    """The same tree as of one that nobody disturbed; a third call finds nothing to do."""
    process = start(output, f"output.uri={output / 'set'}")
    while process.poll() is None and not list((output / "set/index").glob("*.json")):
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has seen its driver die
            child.kill()
    psutil.wait_procs(children, 30)
    about = json.loads((output / "set/export.json").read_text())
    assert about["state"] == "begun" and about["stems"] == 36
    out = export(output, f"output.uri={output / 'set'}")
    assert max(map(len, out.splitlines())) < 120 and "train" in out
    before = hash_tree(output / "set")
    export(output, f"output.uri={output / 'whole'}")
    assert before == hash_tree(output / "whole")
    started = time.monotonic()
    assert export(output, f"output.uri={output / 'set'}") == out
    assert before == hash_tree(output / "set") and time.monotonic() - started < 15
    # Another data set does not go into the same place.
    said = export(output, f"output.uri={output / 'set'}", "split.seed=3", code=2)
    assert "holds another data set" in said and len(said.splitlines()) == 2  # and the phase
    assert before == hash_tree(output / "set")


def test_stems_that_are_gone_are_told(output):
    next((output / "out/stems").rglob("a.flac")).unlink()
    assert "1 stems are gone" in export(output, f"output.uri={output / 'set'}", code=3)
