"""`separator check`: what a run would need, before it starts."""

import re
from pathlib import Path

import pytest
import ray

from jobs.check import check_input
from jobs.cli import main
from separator.config import read_config
from separator.errors import RequestError
from separator.run.local_ray import join_ray
from separator.storage import Storage
from tests.helpers.job import write_config


@pytest.fixture(scope="module")
def joined_ray():
    """One Ray for all checks of this file."""
    join_ray()
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _same_variables_afterwards(monkeypatch) -> None:
    """A check downloads nothing, and says so to its process."""
    monkeypatch.setenv("SEPARATOR_OFFLINE", "")


def test_check_of_a_job_that_can_start(library, tmp_path, capsys, joined_ray):
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "new/out"))
    assert main(["check", str(config)]) == 0
    out = capsys.readouterr().out
    found = [line.split()[:2] for line in out.splitlines() if not line.startswith(" ")]
    names = ["config", "decoder", "disk", "input", "output", "weights", "encoder", "ray"]
    assert found == [[name, "ok"] for name in names]
    assert not (tmp_path / "new").exists(), "a check leaves nothing behind"


def test_check_says_all_that_is_wrong_and_the_way_out(
    library, tmp_path, capsys, joined_ray, monkeypatch
):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    (tmp_path / "file").write_text("")
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "file/out"))
    assert main(["check", str(config), "input.include='*.mxf'", "model.name=audiosep"]) == 2
    out = " ".join(capsys.readouterr().out.split())
    assert "input WRONG" in out and "holds nothing that input.include names" in out
    assert "output WRONG" in out and "weights WRONG" in out and "encoder WRONG" in out
    assert "`separator convert audiosep FILE.safetensors` downloads it now" in out
    assert "ray ok" in out
    assert out.endswith("4 of these would stop the run, or leave it without work")
    assert not (tmp_path / "home").exists(), "nothing is downloaded"
    assert main(["check", str(config), "queries=[qwertz]"]) == 2
    assert re.search(r"encoder  WRONG  'qwertz': the mini model knows", capsys.readouterr().out)
    (tmp_path / "dog.png").write_bytes(b"\x89PNG")
    picture = f"queries=[{{name: dog, image: {tmp_path}/dog.png}}]"
    assert main(["check", str(config), picture]) == 2
    assert "text or example sounds" in " ".join(capsys.readouterr().out.split())
    monkeypatch.delenv("SEPARATOR_OFFLINE")
    assert (
        main(["check", str(config), f"output.uri={tmp_path / 'out'}", "queries=[rain and a dog]"])
        == 0
    )
    assert "'rain and a dog': names several sounds" in " ".join(capsys.readouterr().out.split())


def test_check_of_an_input_names_entries_that_cannot_be_looked_at(tmp_path):
    """A run goes on without them."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.wav").symlink_to("a.wav")
    given = [f"input.uri={tmp_path / 'in'}", f"output.uri={tmp_path / 'out'}", "queries=[siren]"]
    config = read_config(Path(__file__).parents[2] / "configs/local.yaml", given)
    with pytest.raises(RequestError, match="Too many levels of symbolic links"):
        check_input(config, Storage())
    (tmp_path / "in/b.wav").write_bytes(b"")
    text = check_input(config, Storage())
    assert "b.wav is there; " in text and "Too many levels of symbolic links" in text
