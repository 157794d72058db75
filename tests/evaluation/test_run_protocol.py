"""A protocol by its command: the same for one worker and for three, and after a kill."""

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from jobs.cli import main
from separator.model.download import hash_file
from separator.model.registry import BUNDLED
from tests.helpers.kills import kill_driver
from tests.helpers.protocols import CONFIGS, WRITERS

COLUMNS = ["number", "query", "asked", "sdr_db", "sdri_db", "si_sdr_db", "mixture_sdr_db"]


def list_words(folder, out, *more: str) -> list[str]:
    return ["evaluate", str(CONFIGS / "audiocaps.yaml"), "model=mini", f"data={folder / 'data'}",
            f"lists={folder / 'lists'}", f"output={out}", "device=cpu", *more]  # fmt: skip


def read_scores(out) -> pd.DataFrame:
    return pd.read_parquet(out / "scores.parquet")[COLUMNS]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audiocaps")
    WRITERS["audiocaps"](folder / "data", folder / "lists")
    return folder


@pytest.mark.slow
def test_protocol_by_its_command_compares_queries_and_goes_on(shared_ray, data, tmp_path, capsys):
    one, three = tmp_path / "one", tmp_path / "three"
    asked = ["query=label,caption", "pictures=2", "more=clap"]
    assert main(list_words(data, one, *asked)) == 0
    table = capsys.readouterr().out
    assert "mini label" in table and "mini caption" in table and "nothing done" in table
    assert "published: AudioSep's README" in table and "8.22" in table
    assert "note: audiocaps_eval.csv is not the official list (3 rows, 4820 there)" in table
    assert "gains 0 dB: pass" in table and (one / "table.txt").read_text() == table
    names = sorted(path.name for path in (one / "pictures").iterdir())
    assert names == ["0-caption-00000.png", "0-caption-00001.png",
                     "0-label-00000.png", "0-label-00001.png"]  # fmt: skip
    assert (one / "scores.png").stat().st_size > 5_000
    rows = pd.read_parquet(one / "scores.parquet")
    assert len(rows) == 6 and rows["clap_score"].between(-1, 1).all()
    for query, own in rows.groupby("query"):
        (line,) = [line for line in table.splitlines() if line.startswith(f"mini {query}")]
        assert float(line.split()[2]) == pytest.approx(own["sdri_db"].mean(), abs=0.0051)
    classes = pd.read_parquet(one / "classes.parquet")
    assert list(classes["num_cases"]) == [3, 3]
    assert main(list_words(data, three, *asked, "actors=3")) == 0
    pd.testing.assert_frame_equal(read_scores(one), read_scores(three), atol=1e-3)
    capsys.readouterr()
    assert main(list_words(data, one, *asked)) == 0
    assert "2 of 2 are there already" in capsys.readouterr().err
    assert np.array_equal(pd.read_parquet(one / "scores.parquet"), rows)


@pytest.mark.slow
def test_released_weights_are_held_to_their_published_row(shared_ray, data, tmp_path, capsys):
    """The official list has other rows than this one, and other weights."""
    listed = hash_file(data / "lists/audiocaps_eval.csv")[:16]
    given = [
        f"protocol.cases.sha256={listed}",
        "protocol.cases.num_rows=3",
        f"protocol.check.model_sha256={hash_file(BUNDLED)}",
    ]
    assert main(list_words(data, tmp_path / "out", *given)) == 0
    assert "the released weights have the published SDRi" in capsys.readouterr().out


@pytest.mark.slow
def test_protocol_killed_and_run_again_ends_as_if_undisturbed(shared_ray, tmp_path, capsys):
    WRITERS["audioset"](tmp_path / "data", tmp_path / "lists")
    words = list_words(tmp_path, tmp_path / "out")
    words[1] = str(CONFIGS / "audioset.yaml")
    with subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", *words],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=CONFIGS.parents[1],
    ) as run:
        while run.poll() is None and not list((tmp_path / "out").glob("parts/*.json")):
            time.sleep(0.05)
        kill_driver(run)
    assert main(words) == 0
    assert "are there already" in capsys.readouterr().err
    words[-2] = f"output={tmp_path / 'other'}"
    assert main(words) == 0
    out, other = (pd.read_parquet(tmp_path / n / "scores.parquet") for n in ("out", "other"))
    pd.testing.assert_frame_equal(out, other, atol=1e-3)


@pytest.mark.slow
def test_bundled_compares_models_on_the_same_mixtures(shared_ray, tmp_path, capsys):
    words = ["evaluate", str(CONFIGS / "bundled.yaml"), "limit=2", f"output={tmp_path / 'out'}",
             "query=caption,sound", "device=cpu"]  # fmt: skip
    assert main(words) == 0
    table, said = capsys.readouterr()
    assert "mini-zeroshot takes no texts: not asked by caption" in said
    rows = pd.read_parquet(tmp_path / "out/scores.parquet")
    assert rows.groupby(["model", "query"]).size().to_dict() == {
        ("mini", "caption"): 2,
        ("mini", "sound"): 2,
        ("mini-zeroshot", "sound"): 2,
    }
    assert "not the whole set: the first 2" in table
    for figure in ("mixture_sdr_db", "mixture_si_sdr_db"):
        assert (rows.groupby("number")[figure].nunique() == 1).all(), figure
