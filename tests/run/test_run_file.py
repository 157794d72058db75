"""The files that runs keep of themselves, and the state that status reads from them."""

import json
from datetime import datetime, timedelta

from separator.results.manifest import list_runs
from separator.results.paths import Layout
from separator.run.lock import STALE_S
from separator.run.process import identify_process
from separator.run.run_file import FINISHED, RunFile
from separator.run.status import describe_state, read_runs
from separator.storage import Storage
from tests.helpers.runs import TOTALS


def test_run_file_holds_state_and_description(tmp_path):
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    totals, config = dict(TOTALS), {"model": {"precision": "fp32"}}
    describe = lambda: {"totals": dict(totals), "config": config}  # noqa: E731
    run_file = RunFile(storage, layout.run("1"), "1", "2/4", describe)
    run_file.write()
    (first,) = read_runs(storage, layout)
    assert first["process"] == identify_process() and describe_state(first) == "running"
    totals["assets"] = 2
    run_file.write(FINISHED)
    (last,) = read_runs(storage, layout)
    assert (last["run_id"], last["state"], last["shard"]) == ("1", "finished", "2/4")
    assert last["totals"]["assets"] == 2 and last["written_at"] > first["written_at"]
    run_file.delete()
    assert list_runs(storage, layout) == []


def test_status_does_not_take_the_lock_for_a_run(tmp_path):
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    storage.write(layout.lock(), json.dumps({}).encode())
    assert list_runs(storage, layout) == []


def test_describe_state_is_silent_after_a_minute_without_a_write():
    then = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    for state in ("starting", "running", "stopped", "finished"):
        run = {"state": state, "written_at": then.isoformat()}
        assert describe_state(run, then + timedelta(seconds=STALE_S - 1)) == state
        late = "silent" if state in ("starting", "running") else state
        assert describe_state(run, then + timedelta(seconds=STALE_S + 1)) == late
