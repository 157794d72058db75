"""A run that cannot begin leaves nothing behind, and says why."""

import pytest

from separator.errors import EncoderMissing, RequestError, StorageError
from separator.results.paths import Layout
from separator.run.run import end_run_file, run_in_thread, run_job
from separator.run.run_file import FINISHED, STOPPED, RunFile
from separator.storage import Storage
from tests.helpers.checkpoints import make_net
from tests.helpers.listing import make_config, make_library


def test_run_in_thread_raises_the_error_of_the_function():
    def fail() -> int:
        raise RequestError("no")

    with pytest.raises(RequestError, match="no"):
        run_in_thread(fail).get()
    assert run_in_thread(lambda: 3).get() == 3


def test_end_run_file_raises_only_where_no_other_error_ended_the_run(tmp_path, caplog):
    (tmp_path / "runs").write_text("a file where a folder has to be")
    layout = Layout(str(tmp_path), "flac")
    run_file = RunFile(Storage(), layout.run("1"), "1", "", dict)
    end_run_file(run_file, STOPPED)
    assert "the run file was not written" in caplog.text
    with pytest.raises(StorageError):
        end_run_file(run_file, FINISHED)


@pytest.mark.slow
@pytest.mark.check
def test_run_without_its_encoder_writes_no_run_file(tmp_path, monkeypatch):
    """The checkpoint names a text encoder that is nowhere."""
    from separator.model.checkpoint import write_safetensors

    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    make_library(tmp_path)
    write_safetensors(make_net(), tmp_path / "x.safetensors", "clap:0123456789abcdef")
    config = make_config(tmp_path, f"model.name={tmp_path / 'x.safetensors'}", "model.device=cpu")
    with pytest.raises(EncoderMissing):
        run_job(config, lambda stats: None)
    assert not list((tmp_path / "out/runs").glob("*"))
