"""A package that is not installed: one line that says how to get it, before any work."""

import sys

import pytest

from jobs.cli import main
from separator.errors import RequestError, tell_install
from separator.results.found import Found
from separator.results.markers import Frames, write_markers


def test_the_way_to_install_reaches_an_environment_without_pip():
    said = tell_install("clap")
    assert "`make dev`" in said and "uv pip install --python .venv/bin/python '.[clap]'" in said
    assert "`make env`" in tell_install() and "uv pip install --python" in tell_install()


@pytest.mark.parametrize(
    ("module", "extra", "argv"),
    [
        ("duckdb", "export", ["export", "configs/export.yaml", "input.uri=x", "output.uri=y"]),
        ("matplotlib", "train", ["evaluate", "mini", "absent.csv", "scores"]),
        ("matplotlib", "train", ["evaluate", "configs/eval/bundled.yaml", "output=scores"]),
    ],
)
def test_a_command_refuses_before_its_work(module, extra, argv, tmp_path, monkeypatch, capsys):
    out = [each.replace("scores", str(tmp_path / "scores")) for each in argv]
    monkeypatch.setitem(sys.modules, module, None)  # Python's own way to say: not installed
    assert main(out) == 2
    said = capsys.readouterr().err
    assert "is not installed: " in said and tell_install(extra) in said
    assert not list(tmp_path.rglob("*.parquet"))


def test_opentimelineio_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    with pytest.raises(RequestError, match="OpenTimelineIO is not installed") as caught:
        write_markers("otio", "a.mp4", [Found("/in/a.mp4", 0, "siren", 1, 2, 0.9)], Frames())
    assert tell_install("editors") in str(caught.value)
