"""The commands around a run: plan, status, failures, retry; and a run of a list."""

import json
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.cli import main
from separator.machine import count_cpus
from separator.results.paths import Layout, name_presence
from separator.run.lock import STALE_S
from separator.run.status import describe_state, read_failures, read_status
from separator.storage import Storage
from tests.helpers.export_library import write_manifest
from tests.helpers.job import check_whole, read_tree, run_job, write_config
from tests.helpers.records import make_record


@pytest.fixture
def output(library, finished, tmp_path):
    """(folder, config) of a library whose output is there already."""
    shutil.copytree(finished / "out", tmp_path / "out")
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    return tmp_path / "out", str(config)


def list_files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_run_says_that_earlier_presence_stays(output, caplog):
    """Nothing is left to do, so Ray is not started."""
    _, config = output
    assert main(["run", config, "detect.threshold=0.2", "run.failed_assets=ok"]) == 0
    assert "keeps the presence that was found with detect.threshold=0.5" in caplog.text
    caplog.clear()
    assert main(["run", config, "run.failed_assets=ok"]) == 0
    assert "keeps the presence" not in caplog.text


def test_plan_where_only_broken_assets_are_left(output, capsys):
    folder, config = output
    before = list_files(folder)
    assert main(["plan", config, "run.retry_failed=true"]) == 0
    out = capsys.readouterr().out
    assert "done 3   pending 2" in out and "estimated" not in out
    assert main(["plan", config]) == 0
    assert "done 3   pending 0   failed before 2" in capsys.readouterr().out
    assert list_files(folder) == before


def test_status_counts_assets_and_rows(output, capsys):
    folder, config = output
    assert main(["status", config]) == 0
    out = capsys.readouterr().out
    assert re.search(r"assets +5   with failures 2\nrows +10   ok 6   failed 4\n", out)
    assert re.search(r"media_truncated +2 rows\n", out)
    (run,) = (folder / "runs").glob("*.json")
    assert f"{run.stem}" in out and " finished " in out and max(map(len, out.splitlines())) <= 80


def test_status_counts_what_is_superseded_once(output):
    """A run that did not end leaves rows that a later one has made again."""
    folder, _ = output
    (manifest,) = (folder / "manifest").glob("*.parquet")
    shutil.copy(manifest, manifest.with_name("20200101-000000-abcdef-00000.parquet"))
    status = read_status(Storage(), Layout(str(folder), "flac"))
    assert status.outcomes == {"": 6, "media_truncated": 2, "media_unreadable": 2}
    assert (status.num_assets, status.num_failed_assets) == (5, 2)
    assert len(list(read_failures(Storage(), Layout(str(folder), "flac")))) == 2


def test_run_file_says_what_was_used_and_when_it_went_silent(output):
    folder, _ = output
    (content,) = read_status(Storage(), Layout(str(folder), "flac")).runs
    assert 0 < content["device_busy"] < 1 and set(content["stage_seconds"]) == {
        "extract",
        "separate",
        "publish",
    }
    # As many tasks at once as keep all cores busy, though Ray Data holds some back for each stage.
    assert content["totals"]["num_cpus"] == count_cpus() + 2
    # A run that was killed cannot say so.
    running = content | {"state": "running", "written_at": "2026-01-01T00:00:00+00:00"}
    then = datetime.fromisoformat(running["written_at"])
    assert describe_state(running, then + timedelta(seconds=STALE_S - 1)) == "running"
    assert describe_state(running, then + timedelta(seconds=STALE_S + 1)) == "silent"


@pytest.mark.parametrize("name", ["status", "failures"])
def test_output_that_is_not_there_is_one_line_and_2(name, tmp_path, capsys):
    config = write_config(tmp_path / "c.yaml", "/in", str(tmp_path / "out"))
    assert main([name, str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"output.uri='{tmp_path / 'out'}': no run has written there" in line


@pytest.mark.parametrize("name", ["status", "failures"])
def test_output_is_read_without_an_input(name, output, tmp_path, capsys):
    (tmp_path / "d.yaml").write_text(f"output: {output[0]}\n")
    assert main([name, str(tmp_path / "d.yaml")]) == 0
    assert "media_truncated" in capsys.readouterr().out


def test_failures_lists_assets_with_reasons_in_80_columns(output, library, capsys):
    _, config = output
    assert main(["failures", config]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        str(library / "broken.mp4"),
        str(library / "cut.wav"),
    ]
    reasons = [line for line in lines if line.startswith(" ")]
    assert max(map(len, reasons)) <= 80
    assert "media_truncated (a-person-speaking, siren): 'cut.wav': track 0 ends at" in out
    assert main(["failures", config, "--limit", "-1"]) == 2
    assert main(["failures", config, "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert "cut.wav" not in out and out.endswith("and 1 more assets; --limit 0 lists all\n")


def test_status_and_failures_tell_of_detect_too(tmp_path, capsys):
    """Which alone may have been at work; a row of a list may name no query."""
    out = str(tmp_path / "out")
    config = write_config(tmp_path / "c.yaml", "/in", out)
    for place, asset in ((name_presence(out), "a.wav"), (out, "b.wav")):
        failed = {"status": "failed", "error_code": "bad_request", "error_detail": "why"}
        write_manifest(Storage(), place, [make_record(asset, "") | failed])
        Storage().write(Layout(place, "").run("r"), b"{}")
        assert main(["failures", str(config)]) == 0
        out_lines = capsys.readouterr().out.splitlines()
        own = [] if asset == "a.wav" else ["b.wav", "  bad_request: why"]
        assert out_lines == [*own, "a.wav (separator detect)", "  bad_request: why"]
        assert main(["status", str(config)]) == 0
        told = capsys.readouterr().out
        assert told.count("  bad_request  ") == (1 if asset == "a.wav" else 2)
        assert told.startswith("separator detect:\n") == (asset == "a.wav")
        assert told.count("separator detect:\n") == 1


def test_retry_of_an_output_that_is_none_says_so_and_makes_none(library, tmp_path, capsys):
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "stmes"))
    assert main(["retry", str(config)]) == 2
    assert "no run has written there" in capsys.readouterr().err
    assert not (tmp_path / "stmes").exists()


@pytest.mark.slow
def test_retry_runs_what_has_failed_and_nothing_else(library, tmp_path, capsys):
    """Of a library that has something new as well."""
    changed = tmp_path / "library"
    changed.mkdir()
    for name in ("cut.wav", "talk.wav"):
        shutil.copy(library / name, changed)
    config = write_config(tmp_path / "c.yaml", str(changed), str(tmp_path / "out"))
    run_job(config, code=3)
    before = read_tree(tmp_path / "out")
    shutil.copy(library / "talk.wav", changed / "new.wav")
    assert main(["retry", str(config)]) == 3
    assert "assets             1   failed 1   done or new 2\n" in capsys.readouterr().out
    after = read_tree(tmp_path / "out")
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"stems/cut.wav/record.json"}
    check_whole(tmp_path / "out")
    shutil.copy(library / "talk.wav", changed / "cut.wav")  # mended: another file of its name
    assert main(["retry", str(config)]) == 0
    assert "assets             1   failed 0   done or new 2\n" in capsys.readouterr().out
    assert main(["retry", str(config)]) == 0
    assert "nothing to do: nothing in the input has failed\n" in capsys.readouterr().out
    check_whole(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.check
def test_run_of_a_list_whose_rows_have_queries_of_their_own(library, tmp_path, capsys, caplog):
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
    arguments = [str(config), "input.queries_column=q", "input.carry=[licence]"]
    assert main(["run", *arguments]) == 3
    out = capsys.readouterr().out
    phases = [line for line in out.splitlines() if line.endswith(" ...")]
    assert phases[:2] == ["checking the library ...", "starting Ray ..."]
    assert "1 rows name an asset again" in caplog.text
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
    assert main(["run", *arguments]) == 3
    assert "failed before 1" in capsys.readouterr().out


FOREIGN = {
    "empty": "", "text": "no json", "list": "[]", "other": '{"name": "x"}', "deep": "[" * 100_000,
    "busy": '{"run_id": "busy", "state": "finished", "written_at": "2026-01-01T00:00:00Z", '
    '"config": {"model": {"precision": "fp32"}}, "device_busy": null, '
    '"totals": {"assets": 0, "assets_failed": 0, "audio_s": 0, "seconds": 0}}',
    "types": '{"run_id": 1, "state": 2, "written_at": "2026-01-01", "config": [], "totals": {}}',
}  # fmt: skip


def test_run_warns_of_a_folder_that_is_empty_now(output, tmp_path, caplog):
    """What a disk that is not mounted looks like. A pattern may have nothing today."""
    _, config = output
    (tmp_path / "mount").mkdir()
    arguments = ["run", config, f"input.uri={tmp_path}/mount"]
    assert main(arguments) == 0
    assert "mount': holds no media, and earlier runs on this output found some" in caplog.text
    caplog.clear()
    assert main([*arguments, "input.include=[2026/11/**]"]) == 0
    assert not caplog.text


def test_status_and_failures_ignore_foreign_files_by_name(output, capsys, caplog):
    folder, config = output
    assert main(["status", config]) == 0
    before = capsys.readouterr().out
    for name, text in FOREIGN.items():
        (folder / f"runs/{name}.json").write_text(text)
    (folder / "manifest/empty.parquet").write_bytes(b"")
    assert main(["status", config]) == 0
    assert capsys.readouterr().out == before, "not even counted as earlier runs"
    assert main(["failures", config]) == 0
    assert all(f"{name}.json" in caplog.text for name in FOREIGN)
    assert "empty.parquet" in caplog.text


def test_failures_prints_names_and_reasons_of_control_characters_on_one_line(tmp_path, capsys):
    failed = {"status": "failed", "error_code": "bad_media", "error_detail": "\x1b[2J is\nno name"}
    row = make_record("s3://in/\x1b[2J\nx.wav", "rain") | failed
    write_manifest(Storage(), str(tmp_path / "out"), [row])
    (tmp_path / "c.yaml").write_text(f"output: {{uri: {tmp_path / 'out'}}}\n")
    assert main(["failures", str(tmp_path / "c.yaml")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "s3://in/\\x1b[2J\\nx.wav",
        "  bad_media (rain): \\x1b[2J is no name",
    ]
