"""A package that is not installed: one line that says how to get it, before any work."""

import sys
from dataclasses import replace

import pytest

from jobs.check import check_encoder
from jobs.cli import main
from separator.config import read_config
from separator.encoders.lookup import find_encoder
from separator.errors import CheckpointMissing, EncoderMissing, RequestError, tell_install
from separator.model.checkpoint import write_safetensors
from separator.results.found import Found
from separator.results.markers import Frames, write_markers
from separator.run.prepare import prepare_target
from separator.storage import Storage
from tests.helpers.golden import make_small_net
from tests.helpers.training import ROOT


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
        ("matplotlib", "train", ["train", "configs/train-mini.yaml", "output=scores"]),
        (
            "h5py",
            "train",
            ["train", "configs/train-stsed.yaml", "output=scores", "data.lists=[a.h5]"],
        ),
        ("opentimelineio", "editors", ["markers", "absent.yaml", "--format", "otio"]),
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


@pytest.mark.parametrize("module", ["laion_clap", "transformers"])
def test_text_encoder_names_its_packages_before_files_that_are_missing(
    module, tmp_path, monkeypatch
):
    """Else a user fetches gigabytes first, and the tokenizer's files."""
    for name in [each for each in sys.modules if each.split(".")[0] == "laion_clap"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "net.safetensors"
    write_safetensors(make_small_net(), path, "0" * 16)
    with pytest.raises(EncoderMissing, match=f"{module}.*make dev"):
        find_encoder(path, "0" * 16)


@pytest.mark.parametrize("prepare", [check_encoder, prepare_target])
def test_packages_for_published_weights_are_named_before_the_download(
    prepare, tmp_path, monkeypatch
):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEPARATOR_OFFLINE", "1")
    monkeypatch.setitem(sys.modules, "laion_clap", None)
    given = [f"input.uri={tmp_path / 'in'}", f"output.uri={tmp_path / 'out'}", "queries=[siren]"]
    config = read_config(ROOT / "configs/local.yaml", [*given, "model.name=audiosep-hive"])
    with pytest.raises(EncoderMissing, match="laion_clap is not installed"):
        prepare(config, Storage())
    sounds = replace(config, queries=[{"name": "siren", "audio": str(tmp_path)}])
    (tmp_path / "a.wav").touch()
    with pytest.raises((EncoderMissing, CheckpointMissing), match=r"weights|downloads are"):
        prepare(sounds, Storage())  # which need no package
