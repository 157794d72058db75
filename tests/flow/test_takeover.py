"""A whole run is stopped for longer than its lock lasts, and another takes its output over."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.helpers.job import end_in_one_line, run_job, start_job, wait_for
from tests.helpers.many import EDITS, check_same, make_wanted

NUM_ASSETS = 12


def signal_all(process: subprocess.Popen, number: signal.Signals) -> None:
    """The driver first, then its children, also those that start meanwhile."""
    seen, found = set(), {process.pid}
    while found:
        for pid in sorted(found):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        seen |= found
        found = {p.pid for p in psutil.Process(process.pid).children(recursive=True)} - seen


def move_elsewhere(lock: Path) -> str:
    """Let the lock say that its run is on another machine: on this one a run is seen to be alive,
    however long it sleeps. Return the run's id."""
    ((run_id, holder),) = json.loads(lock.read_text()).items()
    lock.write_text(json.dumps({run_id: holder | {"process": "there/1/1"}}))
    return run_id


@pytest.mark.slow
def test_run_that_slept_ends_by_itself_after_another_took_over(tmp_path):
    """SIGSTOP of all its processes until the other run, which waits a minute for a sign of life of
    the first one, has done all of the work."""
    out, config = tmp_path / "out", tmp_path / "a.yaml"
    wanted = make_wanted(tmp_path / "library", out, config, NUM_ASSETS)
    asleep = start_job(config, *EDITS)
    wait_for(asleep, out, "record.json")
    signal_all(asleep, signal.SIGSTOP)
    try:
        assert len(list(out.rglob("record.json"))) < NUM_ASSETS, "it has work left"
        first = move_elsewhere(out / "lock.json")
        run_job(config, *EDITS)
        check_same(out, wanted)
    finally:
        signal_all(asleep, signal.SIGCONT)
    line = end_in_one_line(asleep, 1, f"lock_lost: run {first} stops: its heartbeat expired; ")
    assert "at work now: no run" in line
    check_same(out, wanted)
    assert "nothing to do" in run_job(config, *EDITS)
    check_same(out, wanted)
