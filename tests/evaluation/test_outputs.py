"""What a protocol leaves: with all units done before, so that no Ray is needed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from separator.api import load_model
from separator.config_file import read_settings
from separator.evaluation.over_units import name_part
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.protocol_queries import make_tasks, make_units
from separator.evaluation.protocol_scores import ProtocolScorer
from separator.evaluation.run_protocol import list_cases, run_protocol
from separator.storage import Storage
from tests.helpers.protocols import CONFIGS, WRITERS


def do_units(settings: ProtocolSettings, names: dict[str, list[str]]) -> None:
    """Score all units in this process, as an actor does, and keep their parts."""
    cases, _ = list_cases(settings)
    cases = cases[: settings.limit or None]
    folder = Path(settings.output) / "parts"
    folder.mkdir(parents=True)
    for name, queries in names.items():
        model = load_model(name, device="cpu", precision="fp32")
        scorer = ProtocolScorer(model, settings.protocol, settings.more_metrics, Storage())
        for query in queries:
            source = settings.protocol.queries[query]
            tasks = make_tasks(model, source, query, cases, settings.pictures)
            identity = [model.checkpoint_sha256, model.encoder_id, "fp32"]
            for unit in make_units(tasks, settings.protocol, settings.more_metrics, identity):
                name_part(folder, unit).write_text(json.dumps(scorer(unit.work)))


def test_protocol_leaves_tables_rows_classes_and_pictures(tmp_path):
    WRITERS["esc50"](tmp_path / "data", tmp_path / "lists")
    words = ["model=mini", f"data={tmp_path / 'data'}", f"lists={tmp_path / 'lists'}",
             f"output={tmp_path / 'out'}", "pictures=2", "limit=2", "device=cpu"]  # fmt: skip
    settings = read_settings(ProtocolSettings, CONFIGS / "esc50.yaml", words)
    do_units(settings, {"mini": ["label"]})
    said: list[str] = []
    table = run_protocol(settings, said.append)
    assert "1 of 1 are there already" in said
    rows = pd.read_parquet(tmp_path / "out/scores.parquet")
    assert list(rows["asked"]) == ["dog", "chirping birds"] and "picture" not in rows
    (line,) = [line for line in table.splitlines() if line.startswith("mini ")]
    shown = [float(word) for word in line.split()[1:]]
    expected = rows[["sdri_db", "si_sdr_db", "sdr_db"]].mean()
    np.testing.assert_allclose(shown, expected, atol=0.0051)
    assert "published: AudioSep's README" in table and "10.04" in table
    assert "published (as others' papers quote them): DP-LASS" in table
    assert "note: esc50_eval.csv is not the official list (3 rows, 2000 there)" in table
    assert "not the whole set: the first 2 of 3 cases" in table
    assert "the mixture as the estimate gains 0 dB: pass" in table
    assert (tmp_path / "out/table.txt").read_text() == f"{table}\n"
    classes = pd.read_parquet(tmp_path / "out/classes.parquet")
    assert list(classes["kind"]) == ["chirping birds", "dog"]
    assert classes["SDRi"].iloc[1] == pytest.approx(rows["sdri_db"].iloc[0])
    pictures = sorted((tmp_path / "out/pictures").iterdir())
    assert [path.name for path in pictures] == ["0-label-00000.png", "0-label-00001.png"]
    for path in (*pictures, tmp_path / "out/scores.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_bundled_asks_each_model_as_it_can_be_asked(tmp_path):
    words = [f"output={tmp_path / 'out'}", "limit=1", "protocol.generated.seconds=1",
             "query=caption,sound", "device=cpu"]  # fmt: skip
    settings = read_settings(ProtocolSettings, CONFIGS / "bundled.yaml", words)
    do_units(settings, {"mini": ["caption", "sound"], "mini-zeroshot": ["sound"]})
    said: list[str] = []
    table = run_protocol(settings, said.append)
    assert "mini-zeroshot takes no texts: not asked by caption" in said
    for begin in ("mini caption", "mini sound", "mini-zeroshot sound", "nothing done"):
        assert len([line for line in table.splitlines() if line.startswith(begin)]) == 1
    assert len(pd.read_parquet(tmp_path / "out/scores.parquet")) == 3
