"""Every protocol by its command: killed and run again, by one worker and by three, its table is
that of a plain computation."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.cli import main
from separator.api import Separator, load_model
from separator.config_file import read_settings
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.run_protocol import list_cases
from tests.helpers.benchmarks import write_audioset, write_models, write_musdb
from tests.helpers.kills import kill_driver
from tests.helpers.plain_protocols import HEARD, compute_expected
from tests.helpers.protocols import CONFIGS, ROOT, WRITERS, write_csv

pytestmark = pytest.mark.slow

WITHIN = {"voicebank-demand": 0.06}  # both sides resample, each with a filter of its own
ROUNDING = 0.005  # of a table
MAX_STARTS = 5


@pytest.fixture(scope="module")
def mini() -> Separator:
    return load_model("mini", device="cpu", precision="fp32")


def write_own_table(name: str, folder: Path) -> Path:
    """Write a table that asks for each case by one of the set's own sounds; return the sound."""
    given = ["model=mini", f"data={folder / 'data'}", f"lists={folder / 'lists'}"]
    cases, _ = list_cases(read_settings(ProtocolSettings, CONFIGS / f"{name}.yaml", given))
    key = next(iter(cases[0].columns))
    sound = cases[0].files["target"].uri.removeprefix(f"{folder / 'data'}/")
    keys = dict.fromkeys(case.columns[key] for case in cases)
    write_csv(folder / "own.csv", [[key, "sound"], *([each, sound] for each in keys)])
    return folder / "data" / sound


def start_and_kill(words: list[str], out: Path) -> None:
    """Start the command and kill it when its first unit is done; again where that came too late:
    small sets have few units."""
    for _ in range(MAX_STARTS):
        shutil.rmtree(out, ignore_errors=True)
        kill_at_work(words, out)
        if not (out / "scores.parquet").exists():
            return
    raise AssertionError(f"it ended {MAX_STARTS} times before it was killed")


def kill_at_work(words: list[str], out: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", *words],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    ) as run:
        while run.poll() is None and not list(out.glob("parts/*.json")):
            time.sleep(0.02)
        if run.poll() is None:
            kill_driver(run)


def read_figures(table: str, row: str, names: list[str]) -> dict[str, float]:
    """Read a row of our own figures from a table."""
    (line,) = [line for line in table.splitlines() if line.startswith(row)]
    return dict(zip(names, map(float, line[len(row) :].split()), strict=True))


@pytest.mark.parametrize("name", HEARD)
def test_killed_and_run_again_by_one_or_three_workers(name, shared_ray, mini, tmp_path, capsys):
    data, lists = tmp_path / "data", tmp_path / "lists"
    WRITERS[name](data, lists)
    sound = write_own_table(name, tmp_path)
    config = CONFIGS / f"{name}.yaml"
    given = ["model=mini", f"data={data}", f"lists={lists}", f"also={tmp_path / 'own.csv'}"]
    settings = read_settings(ProtocolSettings, config, given)
    query = next(iter(settings.protocol.queries))
    words = ["evaluate", str(config), *given, f"query={query},sound", "device=cpu"]
    start_and_kill([*words, f"output={tmp_path / 'one'}"], tmp_path / "one")
    tables = {}
    for out, actors in (("one", 1), ("three", 3)):
        assert main([*words, f"output={tmp_path / out}", f"actors={actors}"]) == 0
        table, said = capsys.readouterr()
        assert ("are there already" in said) == (out == "one")
        tables[out] = table
    names = [figure.name for figure in settings.protocol.figures]
    for asked, example in ((query, None), ("sound", sound)):
        expected = compute_expected(name, mini, data, lists, example)
        for table in tables.values():
            found = read_figures(table, f"mini {asked} ", names)
            for figure, value in found.items():
                close = pytest.approx(expected[figure], abs=WITHIN.get(name, 2e-3) + ROUNDING)
                assert value == close, figure
    one, three = (pd.read_parquet(tmp_path / out / "scores.parquet") for out in tables)
    pd.testing.assert_frame_equal(one, three, atol=1e-3)
    assert len(one) == 2 * len(list_cases(settings)[0]) and "DEVIATION" not in tables["one"]


def test_musdb18_and_held_out_classes_killed_and_by_three_workers(shared_ray, tmp_path, capsys):
    """Their figures are compared with plain ones in test_musdb_scores and test_audioset_pairs."""
    (model,), detector = write_models(tmp_path)
    data = {
        "musdb18": write_musdb(tmp_path / "music", 2, 2),
        "held-out": write_audioset(tmp_path / "sounds", 4),
    }
    for name, more in (("musdb18", []), ("held-out", ["pairs=12"])):
        words = ["evaluate", str(CONFIGS / f"{name}.yaml"), f"model={model}", "device=cpu",
                 f"detector={detector}", f"data={data[name]}", *more]  # fmt: skip
        start_and_kill([*words, f"output={tmp_path / name}"], tmp_path / name)
        tables = []
        for out, actors in ((name, 1), (f"{name}-three", 3)):
            assert main([*words, f"output={tmp_path / out}", f"actors={actors}"]) == 0
            table, said = capsys.readouterr()
            assert ("are there already" in said) == (out == name)
            tables.append(table)
        assert tables[0] == tables[1]
        one, three = (
            pd.read_parquet(tmp_path / out / "scores.parquet") for out in (name, f"{name}-three")
        )
        pd.testing.assert_frame_equal(one, three, atol=1e-3)
        assert np.isfinite(one.select_dtypes("number")).any().all()
