"""A run that cannot begin leaves nothing behind, and says why."""

import pytest

from separator.errors import EncoderMissing, RequestError
from separator.run.run import run_in_thread, run_job
from tests.helpers.checkpoints import make_net
from tests.helpers.listing import make_config, make_library


def test_run_in_thread_raises_the_error_of_the_function():
    def fail() -> int:
        raise RequestError("no")

    with pytest.raises(RequestError, match="no"):
        run_in_thread(fail).get()
    assert run_in_thread(lambda: 3).get() == 3


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
