"""The job as an ordinary user, on folders and files that are closed to it."""

import pytest

from tests.helpers.job import end_in_one_line, start_job, write_config
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
