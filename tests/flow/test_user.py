"""The job as an ordinary user, on folders and files that are closed to it."""

from pathlib import Path

import pytest

from tests.helpers.job import end_in_one_line, run_job, start_job, wait_for, write_config
from tests.helpers.many import EDITS, check_same, check_unfinished, make_wanted
from tests.helpers.users import limit_user


@pytest.mark.slow
@pytest.mark.check
def test_user_who_may_not_write_the_output_is_told_so_in_one_line(library, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    config = write_config(tmp_path / "a.yaml", str(library), str(closed / "out"))
    process = start_job(config, before=limit_user())
    line = end_in_one_line(process, 2, "python -m jobs.separate: ")
    assert str(closed) in line and "Permission denied" in line
    assert not list(closed.iterdir())


@pytest.mark.slow
def test_run_whose_output_is_closed_midway_ends_in_one_line_and_is_continued(tmp_path):
    out, config = tmp_path / "out", tmp_path / "a.yaml"
    out.mkdir()
    wanted = make_wanted(tmp_path / "library", out, config, 6)
    process = start_job(config, *EDITS, before=limit_user())
    wait_for(process, out, "record.json")
    change_mode(out, 0o555)
    line = end_in_one_line(process, 1, "access_denied: ")
    assert str(out) in line and "Permission denied" in line
    change_mode(out, 0o755)
    check_unfinished(out, wanted)
    run_job(config, *EDITS, before=limit_user())
    check_same(out, wanted)


def change_mode(folder: Path, mode: int) -> None:
    """Change the mode of a folder and of all below it; new ones may appear meanwhile."""
    for path in (folder, *folder.rglob("*/")):
        path.chmod(mode)
