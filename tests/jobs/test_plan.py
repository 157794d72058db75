"""`separator plan`: what a run would take, estimated from a few assets."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.cli import main
from separator.config import read_config
from separator.run.estimate import make_plan
from tests.helpers.job import write_config

ROOT = Path(__file__).parents[2]


def test_plan_of_a_new_library(library, tmp_path, capsys):
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    assert main(["plan", str(config)]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if line]
    assert lines[0] == ["assets", "5", "done", "0", "pending", "5"]
    assert lines[2][:2] == ["stems", "10"]
    assert "estimated from 3 assets (2 more could not be used)" in out
    # 26 s are there; what is broken has bytes and no sound.
    audio_s = float(lines[4][1].removesuffix("s").removesuffix("min")) * (
        60 if "min" in lines[4][1] else 1
    )
    assert audio_s == 26
    assert lines[5][0] == "cpu" and float(lines[5][2].removesuffix("x")) > 0
    assert max(map(len, out.splitlines())) <= 80
    assert not (tmp_path / "out").exists()


def test_plan_of_a_retry_does_not_call_new_assets_done(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/new.wav").write_bytes(b"")
    config = write_config(tmp_path / "c.yaml", str(tmp_path / "in"), str(tmp_path / "out"))
    assert main(["plan", str(config), "run.only=failed", "run.retry_failed=true"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split() == ["assets", "1", "done", "or", "new", "1", "pending", "0"]


def test_plan_of_a_folder_without_media_says_so(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").write_text("no media")
    config = write_config(tmp_path / "c.yaml", str(tmp_path / "in"), str(tmp_path / "out"))
    assert main(["plan", str(config)]) == 0
    assert capsys.readouterr().out == f"no assets in {tmp_path / 'in'}\n"


def test_plan_tells_how_the_queries_of_a_list_are_heard(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.full((8_000, 1), 0.1), 8_000)
    rows = tmp_path / "list.jsonl"
    rows.write_text('{"uri": "a.wav", "q": ["rain", "a zebra"]}\n')
    config = write_config(tmp_path / "c.yaml", str(rows), str(tmp_path / "out"), "[]")
    overrides = ["input.queries_column=q", "queries=[{name: horn, text: a siren}]"]
    assert main(["plan", str(config), *overrides, "detect.model=auto"]) == 0
    heard_by = capsys.readouterr().out.partition("queries are heard by:")[2]
    lines = [line.split(maxsplit=1)[0] for line in heard_by.strip().splitlines()]
    assert lines == ["horn", "rain", "a"]


def test_plan_counts_the_copies_of_a_remux(library, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(library / "talk.wav", tmp_path / "in/a.wav")
    num_bytes = (tmp_path / "in/a.wav").stat().st_size
    out_bytes = []
    for remux in ("none", "add"):
        given = [f"input.uri={tmp_path / 'in'}", f"output.uri={tmp_path / 'out'}"]
        mixes = "[{name: m, gains_db: {siren: 0}}, {name: n, gains_db: {siren: -6}}]"
        given += ["queries=[siren]", f"output.renditions={mixes}", f"output.remux={remux}"]
        plan = make_plan(read_config(ROOT / "configs/local.yaml", given))
        assert plan.output_bytes is not None
        out_bytes.append(plan.output_bytes)
    assert out_bytes[1] - out_bytes[0] == pytest.approx(2 * num_bytes, rel=1e-3)


def test_plan_of_assets_that_cannot_be_used(tmp_path, capsys):
    """A list whose queries cannot be read, and a track without a sample."""
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), 8_000)
    (tmp_path / "list.csv").write_text("uri,q\nempty.wav,[\n")
    config = write_config(
        tmp_path / "c.yaml", str(tmp_path / "list.csv"), str(tmp_path / "out"), "[]"
    )
    for override in ("input.queries_column=q", "queries=[rain]"):
        assert main(["plan", str(config), override]) == 0
        out = capsys.readouterr().out
        assert "pending 1" in out and "estimated" not in out


def test_plan_looks_past_assets_that_a_run_would_refuse(library, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(library / "talk.wav", folder)
    soundfile.write(folder / "fast.wav", np.zeros((800_000, 1)), 384_000)
    soundfile.write(folder / "nan.wav", np.full((90_000, 1), np.nan), 8_000, "FLOAT")
    soundfile.write(folder / "wide.wav", np.zeros((90_000, 10)), 8_000)
    config = write_config(tmp_path / "c.yaml", str(folder), str(tmp_path / "out"))
    assert main(["plan", str(config)]) == 0
    out = capsys.readouterr().out
    assert "estimated" in out and "3" in out


def test_plan_says_why_it_has_no_estimate(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.mp3").write_text("no sound")
    config = write_config(tmp_path / "c.yaml", str(tmp_path / "in"), str(tmp_path / "out"))
    assert main(["plan", str(config)]) == 0
    assert (
        "\nno estimate: none of 1 assets that were tried can be used\n" in capsys.readouterr().out
    )
