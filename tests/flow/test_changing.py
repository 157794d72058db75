"""An input that changes under a run."""

import pytest

from tests.helpers.job import (
    end_in_one_line,
    start_job,
    wait_for_phase,
    write_config,
    write_sound,
)


@pytest.mark.slow
@pytest.mark.check
def test_run_whose_list_is_gone_when_a_worker_reads_it_ends_in_one_line(tmp_path):
    """The driver has looked through it; then Ray started."""
    write_sound(tmp_path / "x.wav", ("man", "siren"), 1, 1)
    (tmp_path / "list.txt").write_text("x.wav\n")
    config = write_config(tmp_path / "a.yaml", f"{tmp_path}/list.txt", f"{tmp_path}/out")
    process = start_job(config)
    wait_for_phase(process, "starting Ray")
    (tmp_path / "list.txt").unlink()
    line = end_in_one_line(process, 2, "python -m jobs.separate: ")
    assert f"{tmp_path}/list.txt: no such file" in line
    assert not list((tmp_path / "out/runs").iterdir())
