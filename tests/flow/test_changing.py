"""A library that changes under a run: files grow, shrink, vanish or become others."""

import shutil
import time
from pathlib import Path

import pytest

from separator.storage import Storage
from tests.helpers.job import (
    check_whole,
    end_in_one_line,
    end_job,
    read_manifest,
    read_stems,
    run_job,
    start_job,
    wait_for,
    wait_for_phase,
    write_config,
    write_sound,
)
from tests.helpers.kills import kill_one

NUM_ASSETS = 16


def change(path: Path, number: int) -> None:
    if number % 5 == 1:
        with path.open("ab") as file:
            file.write(bytes(10_000))
    elif number % 5 == 2:
        path.write_bytes(path.read_bytes()[:1_000])
    elif number % 5 == 3:
        path.unlink()
    elif number % 5 == 4:
        other = path.parent.with_name(path.name)
        write_sound(other, ("bird", "wind"), 1, number)
        other.rename(path)


@pytest.mark.slow
def test_run_on_a_library_that_changes_meanwhile_loses_nothing_and_lies_about_nothing(tmp_path):
    library, out = tmp_path / "library", tmp_path / "out"
    paths = [library / f"{i:02}.wav" for i in range(NUM_ASSETS)]
    for i, path in enumerate(paths):
        write_sound(path, ("man", "siren"), 1, i)
    config = write_config(tmp_path / "a.yaml", str(library), str(out))
    process = start_job(config, "run.failed_assets=ok")
    wait_for_phase(process, "warming up")
    for number, path in enumerate(reversed(paths)):  # the first ones are under way by then, or done
        time.sleep(0.3)
        change(path, number)
    end_job(process, 0)
    assert set(read_manifest(out).error_code) <= {"", "object_changed", "media_truncated"}
    check_whole(out)
    run_job(config, "run.failed_assets=ok")

    fresh = tmp_path / "fresh"
    again = write_config(tmp_path / "b.yaml", str(library), str(fresh))
    run_job(again, "run.failed_assets=ok")
    gone = [path.name for path in paths if not path.exists()]
    for name in gone:
        shutil.rmtree(out / "stems" / name, ignore_errors=True)
    assert read_stems(out) == read_stems(fresh)
    keys = ["asset_uri", "asset_etag", "query_name", "error_code"]
    wanted = read_manifest(fresh)[keys].itertuples(index=False, name=None)
    assert set(wanted) <= set(read_manifest(out)[keys].itertuples(index=False, name=None))


@pytest.mark.slow
def test_run_whose_list_is_gone_when_a_worker_reads_it_ends_in_one_line(tmp_path):
    """The driver has looked through it; then Ray started."""
    write_sound(tmp_path / "x.wav", ("man", "siren"), 1, 1)
    (tmp_path / "list.txt").write_text("x.wav\n")
    config = write_config(tmp_path / "a.yaml", f"{tmp_path}/list.txt", f"{tmp_path}/out")
    process = start_job(config)
    wait_for_phase(process, "starting Ray")
    (tmp_path / "list.txt").unlink()
    line = end_in_one_line(process, 2, "python -m jobs.separate: ")
    assert f"input.uri: {tmp_path}/list.txt: no such file" in line
    assert not list((tmp_path / "out/runs").iterdir())


@pytest.mark.slow
def test_asset_that_was_replaced_between_two_passes_is_done_in_its_new_version(tmp_path):
    """Another asset makes the second pass: each of its two assemblies loses its worker as often as
    Ray tries."""
    out, short = tmp_path / "out", tmp_path / "library/short.wav"
    write_sound(tmp_path / "library/long.wav", ("man", "siren"), 6, 1)
    write_sound(short, ("man", "siren"), 1, 2)
    write_sound(tmp_path / "other.wav", ("bird", "wind"), 1, 3)
    config = write_config(tmp_path / "a.yaml", str(tmp_path / "library"), str(out))
    process = start_job(config, "run.span_s=4")
    for _ in range(2 * 3):
        assert kill_one(process, "assembler")
    wait_for(process, out, "short.wav/record.json")
    (tmp_path / "other.wav").rename(short)
    end_job(process, 0)
    check_whole(out)
    rows = read_manifest(out)
    made = set(rows[rows.asset_uri == str(short)].asset_etag)
    assert made == {Storage().stat(str(short)).etag}
    assert not list(out.glob("withdrawn/*"))
