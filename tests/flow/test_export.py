"""The export as a user calls it: on Ray, killed and called again, with stems that are missing."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.export import main
from separator.export.select import select
from separator.storage import Storage
from tests.helpers.export_library import export as write_data_set
from tests.helpers.export_library import (
    hash_tree,
    make_config,
    make_records,
    write_manifest,
    write_output,
)
from tests.helpers.hub_writes import make_environment, serve_writable_hub
from tests.helpers.job import ROOT

CONFIG = str(ROOT / "configs/export.yaml")


def start(
    folder: Path, *overrides: str, environment: dict[str, str] | None = None
) -> subprocess.Popen:
    command = [sys.executable, "-m", "jobs.cli", "export", CONFIG]
    given = [f"input.uri={folder / 'out'}", "output.shard_mb=0.02", *overrides]
    environment = (environment or os.environ) | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, *given], stdout=pipe, stderr=pipe, text=True, env=environment
    )


def export(
    folder: Path, *overrides: str, code: int = 0, environment: dict[str, str] | None = None
) -> str:
    process = start(folder, *overrides, environment=environment)
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, (out, err[-3_000:])
    return out + err


@pytest.fixture
def folder(tmp_path) -> Path:
    write_output(Storage(), str(tmp_path / "out"), num_assets=20)
    return tmp_path


@pytest.mark.slow
@pytest.mark.check
def test_export_killed_and_called_again_writes_the_same_tree(folder):
    process = start(folder, f"output.uri={folder / 'set'}")
    while process.poll() is None and not list((folder / "set/index").glob("*.json")):
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):  # ended with its driver
            child.kill()
    psutil.wait_procs(children, 30)
    about = json.loads((folder / "set/export.json").read_text())
    assert about["state"] == "begun" and about["stems"] == 36
    out = export(folder, f"output.uri={folder / 'set'}")
    assert max(map(len, out.splitlines())) < 120 and "train" in out
    before = hash_tree(folder / "set")
    export(folder, f"output.uri={folder / 'whole'}")
    assert before == hash_tree(folder / "whole")
    files = {path: path.stat().st_mtime_ns for path in (folder / "set/data").iterdir()}
    assert export(folder, f"output.uri={folder / 'set'}") == out
    assert before == hash_tree(folder / "set")
    assert files == {path: path.stat().st_mtime_ns for path in files}
    # A data set of other settings is refused in the same place.
    said = export(folder, f"output.uri={folder / 'set'}", "split.seed=3", code=2)
    phase, line = said.splitlines()
    assert phase == "reading the manifest ..." and "holds another data set" in line
    assert before == hash_tree(folder / "set")


@pytest.mark.slow
@pytest.mark.check
def test_finished_export_is_pushed_by_the_same_command(folder):
    given = ["output.format=lhotse_shar", "output.shard_mb=0.02"]
    write_data_set(folder / "out", folder / "set", *given)
    with select(Storage(), make_config(folder / "out", *given)) as selection:
        (folder / "set/export.json").write_text(json.dumps({"selection": selection.name}))
    before = hash_tree(folder / "set")
    with serve_writable_hub() as hub:
        asked = [f"output.uri={folder / 'set'}", f"output.hub={hub.name}", *given]
        environment = make_environment(dict(os.environ), hub.endpoint, str(folder / "home"))
        hub.faults["repos/create"] = [401]
        said = export(folder, *asked, code=2, environment=environment)
        assert "the Hub does not accept the token (401)" in said and not hub.files
        assert hash_tree(folder / "set") == before
        assert "data/, README.md" in export(folder, *asked, environment=environment)
    paths = [path for path in (folder / "set").rglob("*") if path.is_file()]
    wanted = {path.relative_to(folder / "set").as_posix(): path.read_bytes() for path in paths}
    assert wanted == {n: data for n, data in hub.files.items() if n != ".gitattributes"}
    assert {"croissant.json", "README.md", "data/train/cuts.000000.jsonl.gz"} <= set(wanted)
    assert json.loads(wanted["export.json"])["state"] == "finished"


@pytest.mark.slow
def test_export_exits_with_3_if_a_stem_is_missing(folder):
    next((folder / "out/stems").rglob("a.flac")).unlink()
    assert "1 stems" in export(folder, f"output.uri={folder / 'set'}", code=3)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("input.where=energy > 1", "input.where='energy > 1': Binder Error"),
        ("output.uri=OUT/set", "lies inside"),
        ("storage.endpoint=x", "endpoint"),
    ],
)
def test_export_exits_with_2_and_one_line_after_a_mistake(tmp_path, capsys, override, said):
    output = tmp_path / "out"
    write_manifest(Storage(), str(output), make_records(str(output), 2))
    given = [f"input.uri={output}", f"output.uri={tmp_path / 'set'}"]
    assert main([CONFIG, *given, override.replace("OUT", str(output))]) == 2
    printed = capsys.readouterr()
    phase, line = printed.err.splitlines()
    assert phase == "reading the manifest ..." and said in line
    assert not (tmp_path / "set").exists()


def test_export_refuses_a_folder_with_a_foreign_readme(tmp_path, capsys):
    output = tmp_path / "out"
    write_manifest(Storage(), str(output), make_records(str(output), 2))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/README.md").write_text("mine")
    assert main([CONFIG, f"input.uri={output}", f"output.uri={tmp_path / 'set'}"]) == 2
    assert "README.md" in capsys.readouterr().err
    assert (tmp_path / "set/README.md").read_text() == "mine"
