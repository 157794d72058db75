"""The commands around the job: plan, status, retry; and what a list asks of each asset."""

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta

import numpy as np
import pytest
import soundfile

from jobs import shell
from separator.results.paths import Layout
from separator.run.cluster import count_cpus
from separator.run.lock import STALE_S
from separator.run.status import describe_state, read_status
from separator.storage import Storage
from tests.helpers.job import check_whole, read_tree, run_job, write_config


@pytest.fixture
def output(library, finished, tmp_path):
    """(folder, config) of a library whose output is there already."""
    shutil.copytree(finished / "out", tmp_path / "out")
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    return tmp_path / "out", str(config)


def list_files(folder) -> dict:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_plan_of_a_new_library(library, tmp_path, capsys):
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    assert shell.main(["plan", str(config)]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if line]
    assert lines[0] == ["assets", "5", "done", "0", "pending", "5"]
    assert lines[2][:2] == ["stems", "10"]
    assert "estimated from 3 assets (2 more could not be used)" in out
    # 26 s are there; what is broken counts by its size.
    audio_s = float(lines[4][1].removesuffix("s").removesuffix("min")) * (
        60 if "min" in lines[4][1] else 1
    )
    assert 26 <= audio_s < 40
    assert lines[5][0] == "cpu" and float(lines[5][2].removesuffix("x")) > 1
    assert max(map(len, out.splitlines())) <= 80
    assert not (tmp_path / "out").exists()


def test_plan_where_only_the_broken_are_left(output, capsys):
    folder, config = output
    before = list_files(folder)
    assert shell.main(["plan", config]) == 0
    out = capsys.readouterr().out
    assert "done 3   pending 2" in out and "estimated" not in out
    assert shell.main(["plan", config, "run.retry_failed=false"]) == 0
    assert "done 5   pending 0" in capsys.readouterr().out
    assert list_files(folder) == before


def test_plan_of_what_cannot_be_used(tmp_path, capsys):
    """A list that asks for nothing that can be done, and a track without a sample."""
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), 8_000)
    (tmp_path / "list.csv").write_text("uri,q\nempty.wav,[\n")
    config = write_config(
        tmp_path / "c.yaml", str(tmp_path / "list.csv"), str(tmp_path / "out"), "[]"
    )
    for override in ("input.queries_column=q", "queries=[rain]"):
        assert shell.main(["plan", str(config), override]) == 0
        out = capsys.readouterr().out
        assert "pending 1" in out and "estimated" not in out


def test_status(output, capsys):
    folder, config = output
    assert shell.main(["status", config]) == 0
    out = capsys.readouterr().out
    assert "10 rows   ok 6" in out and "media_truncated" in out
    (run,) = (folder / "runs").iterdir()
    assert f"{run.stem}" in out and " finished " in out and max(map(len, out.splitlines())) <= 80
    status = read_status(Storage(), Layout(str(folder), "flac"))
    assert status.outcomes == {"": 6, "media_truncated": 2, "media_unreadable": 2}
    (content,) = status.runs
    assert 0 < content["device_busy"] < 1 and set(content["stage_seconds"]) == {
        "extract", "separate", "publish",
    }  # fmt: skip
    # As many tasks at once as keep all cores busy, though Ray Data holds some back for each stage.
    assert content["totals"]["num_cpus"] == count_cpus() + 2
    # What was killed at once could not say so.
    running = content | {"state": "running", "written_at": "2026-01-01T00:00:00+00:00"}
    then = datetime.fromisoformat(running["written_at"])
    assert describe_state(running, then + timedelta(seconds=STALE_S - 1)) == "running"
    assert describe_state(running, then + timedelta(seconds=STALE_S + 1)) == "silent"


def test_status_of_nothing(library, tmp_path, capsys):
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    assert shell.main(["status", str(config)]) == 0
    assert "0 rows   ok 0" in capsys.readouterr().out


@pytest.mark.slow
def test_retry_runs_what_has_failed_and_nothing_else(library, tmp_path):
    """Of a library that has something new as well."""
    changed = tmp_path / "library"
    changed.mkdir()
    for name in ("cut.wav", "talk.wav"):
        shutil.copy(library / name, changed)
    config = write_config(tmp_path / "c.yaml", str(changed), str(tmp_path / "out"))
    run_job(config, code=3)
    before = read_tree(tmp_path / "out")
    shutil.copy(library / "talk.wav", changed / "new.wav")
    command = [sys.executable, "-m", "jobs.shell", "retry", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 3, done.stderr
    assert "assets             1   failed 1   left alone 2\n" in done.stdout
    after = read_tree(tmp_path / "out")
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"stems/cut.wav/record.json"}
    check_whole(tmp_path / "out")


def test_how_it_is_called(capsys):
    assert shell.main([]) == 2 and "usage: separator COMMAND" in capsys.readouterr().err
    assert shell.main(["fly"]) == 2
    assert shell.main(["--help"]) == 0 and "retry" in capsys.readouterr().out
    assert shell.main(["plan", "absent.yaml"]) == 2
    assert capsys.readouterr().err.startswith("plan: absent.yaml")


def test_lists_say_what_is_asked_of_each(library, tmp_path):
    rows = [
        {"uri": "talk.wav", "q": ["siren"], "licence": "cc"},
        {"uri": "sub dir/rain ü.wav", "q": [{"name": "wet", "text": "rain"}], "licence": "by"},
        {"uri": "talk.wav", "q": ["rain"], "licence": "twice"},
        {"uri": "long.flac", "q": "[", "licence": "x"},
    ]
    changed = tmp_path / "library"
    shutil.copytree(library, changed)
    path = changed / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = write_config(tmp_path / "c.yaml", str(path), str(tmp_path / "out"), "[]")
    columns = ["input.queries_column=q", "input.carry=[licence]"]
    out = run_job(config, *columns, code=3)
    assert "1 rows name an asset again" in out
    manifest = check_whole(tmp_path / "out")
    found = {
        (row.asset_uri.rpartition("/")[2], row.query_name, row.error_code, row.carried)
        for row in manifest.itertuples()
    }
    assert found == {
        ("talk.wav", "siren", "", '{"licence": "cc"}'),
        ("rain ü.wav", "wet", "", '{"licence": "by"}'),
        ("long.flac", "", "bad_request", '{"licence": "x"}'),
    }
    text = run_job(config, *columns, "run.retry_failed=false")
    assert "nothing to do" in text
