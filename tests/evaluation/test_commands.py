"""The benchmarks by their command, with small networks: figures, resuming, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jobs.cli import main
from separator.errors import RequestError
from separator.evaluation.audioset import AudiosetSettings, make_scorer, make_table
from separator.evaluation.by_examples import load_by_examples
from separator.evaluation.musdb18 import MusdbSettings, read_conditions
from separator.evaluation.musdb_scores import SongListener, SongScorer
from separator.evaluation.musdb_songs import STEMS, list_songs
from separator.storage import Storage
from tests.helpers.benchmarks import write_audioset, write_models, write_musdb


def call(capsys, *argv: object) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, argv), "device=cpu"])
    return code, *capsys.readouterr()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"), seeds=(0, 1))


@pytest.mark.slow
@pytest.mark.check
def test_musdb18_has_the_figures_of_its_parts_and_goes_on(shared_ray, models, tmp_path, capsys):
    (model, _), detector = models
    data, out = write_musdb(tmp_path / "data", 2, 2), tmp_path / "out"
    broken = data / "test/Band 1 - Song/bass.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"RIFF....WAVE nothing")
    asked = ["musdb18", data, out, f"model={model}", f"detector={detector}"]
    code, table, said = call(capsys, *asked)
    assert code == 2 and not table and "Band 1 - Song/bass.wav" in said.splitlines()[-1]
    assert not (out / "scores.parquet").exists()
    broken.write_bytes(whole)
    code, table, said = call(capsys, *asked)
    assert code == 0, said
    assert "2 of 2 are there already" in said and "1 of 2 are there already" in said
    rows = pd.read_parquet(out / "scores.parquet")
    assert len(rows) == 8 and set(rows["mode"]) == {"paper"} and set(rows["model"]) == {str(model)}

    loaded, _ = load_by_examples(str(model), str(detector), "cpu", "fp32")
    storage = Storage()
    heard = [
        r
        for song in list_songs(storage, str(data), "train")
        for r in SongListener(loaded, storage)(song)
    ]
    expected_QD = np.stack(
        [np.mean([r["condition"] for r in heard if r["stem"] == stem], 0) for stem in STEMS]
    )
    (queries,) = out.glob("queries-*.npz")
    conditions_QD = read_conditions(str(queries))
    np.testing.assert_allclose(conditions_QD, expected_QD, rtol=1e-4, atol=1e-6)
    songs = list_songs(storage, str(data), "test")
    scorer = SongScorer(loaded, conditions_QD, "paper", True, storage)
    again = pd.DataFrame([row for song in songs for row in scorer(song)])
    np.testing.assert_allclose(rows["sdr_db"], again["sdr_db"], atol=1e-3)
    for stem, shown in zip(STEMS, re.findall(r"-?\d+\.\d\d", table), strict=False):
        median = rows.loc[rows.stem == stem, "sdr_db"].median()
        assert float(shown) == pytest.approx(median, abs=0.0051)
    assert (
        "not the whole test set" in table and "6.15 ±0.22" in table and "fig/results.png" in table
    )


@pytest.mark.slow
def test_audioset_compares_two_models_on_the_same_held_out_pairs(
    shared_ray, models, tmp_path, capsys
):
    (full, held_out), detector = models
    listed = write_audioset(tmp_path / "audio")
    code, table, said = call(
        capsys, "audioset", listed, tmp_path / "out", f"model=[{full},{held_out}]",
        f"detector={detector}", "classes=held_out", "pairs=3",
    )  # fmt: skip
    assert code == 0, said
    assert "1 of 7 sounds are not in the folder" in said
    assert "1 sounds of the list were not found" in table
    assert (tmp_path / "out/table.txt").read_text() == table
    rows = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert len(rows) == 2 * 3 * 2 * 3 and set(rows["class"]) == {"Cat", "Clapping"}
    one, other = (rows[rows.model == str(model)] for model in (full, held_out))
    assert list(one.audio) == list(other.audio) and not np.allclose(one.figure_db, other.figure_db)
    for model, own in ((full, one), (held_out, other)):
        (line,) = [line for line in table.splitlines() if line.startswith(str(model)[-31:])]
        shown = [float(x) for x in line[32:].split()]
        means = [
            own.loc[own["mode"] == m, "figure_db"].mean() for m in ("mixture", "clean", "silence")
        ]
        assert shown == pytest.approx(means, abs=0.0051)
    assert "from memory, not checked" in table


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["musdb18", "none", "out"], "model is not set; add model=..."),
        (["musdb18", "none", "out", "model=mini"], "none/test: no such folder"),
        (["musdb18", "none", "out", "model=mini", "mode=both"], "mode='both': must be one of"),
        (["musdb18", "none", "out", "model=[a,a]"], "name one model, or several different ones"),
        (["musdb18", "none", "out", "model=mini", "num_query=3"], "did you mean num_queries?"),
        (["audioset", "none.csv", "out", "model=mini"], "detector is not set"),
        (["audioset", "none.csv", "out", "model=a", "detector=b"], "none.csv: no such file"),
        (["mini", "none.csv", "out"], "'device=cpu': keys are of benchmarks"),
        (
            ["musdb18", "none", "out", "--seed", "7", "model=mini"],
            "--seed 7: is of a list of cases",
        ),
        (["musdb18", "none", "out", "--actors=1", "model=mini"], "none/test: no such folder"),
        (["musdb18", "none", "--actor=1", "out"], "unrecognized arguments: out device=cpu"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(argv, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, *argv)
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert code == 2 and not out and len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "out").exists()


def test_audioset_needs_a_detector_of_its_classes(models):
    (model, _), detector = models
    settings = AudiosetSettings(model=["mini-zeroshot"], detector="mini-zeroshot", device="cpu")
    with pytest.raises(RequestError, match=r"does not know AudioSet's class 0, 'Speech': .* stsed"):
        make_scorer(settings, "mini-zeroshot")
    assert make_scorer(replace(settings, detector=str(detector)), str(model))


def test_the_table_of_audioset_tells_what_it_leaves_out():
    rows = [
        {"model": "mini", "mode": mode, "figure_db": value}
        for mode in ("mixture", "clean", "silence")
        for value in (1.0, 3.0, float("nan"))
    ]
    settings = AudiosetSettings(model=["mini"], detector="stsed")
    table = make_table(settings, rows, 3, "; 2 sounds of the list were not found")
    assert "3 pairs, seed 0; 2 sounds of the list were not found\n" in table
    assert "note: 3 of 9 samples have no figure: they hold silence" in table and "2.00" in table


def test_examples_are_not_of_finished_cases(tmp_path, capsys):
    (tmp_path / "cases.csv").write_text("mixture,target,query\na.wav,b.wav,x\n")
    asked = ["evaluate", "mini", str(tmp_path / "cases.csv"), str(tmp_path / "out")]
    assert main([*asked, "--examples", "3"]) == 2
    assert "--examples needs a list of sounds" in capsys.readouterr().err


def test_conditions_of_another_file_are_refused(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 no more than that")
    with pytest.raises(RequestError, match="File is not a zip file"):
        read_conditions(str(tmp_path / "cut.npz"))
    np.savez(tmp_path / "q.npz", vocals=np.zeros(4))
    with pytest.raises(ValueError, match="needed are four vectors of one length: vocals"):
        read_conditions(str(tmp_path / "q.npz"))
    assert MusdbSettings(model=["mini"]).num_queries == 90


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.float32(1), "float32 of shape ()"),
        (np.ones((1, 4)), "float64 of shape (1, 4)"),
        (np.array(["a", "b"]), "<U1 of shape (2,)"),
        (np.ones(4, complex), "complex128 of shape (4,)"),
    ],
)
def test_conditions_that_are_no_vectors_of_numbers_are_refused(vector, message, tmp_path):
    np.savez(tmp_path / "q.npz", **dict.fromkeys(STEMS, vector))
    with pytest.raises(RequestError, match=re.escape(message)):
        read_conditions(str(tmp_path / "q.npz"))
    (tmp_path / "empty.npz").touch()
    with pytest.raises(RequestError, match="No data left in file"):
        read_conditions(str(tmp_path / "empty.npz"))


@pytest.mark.parametrize("levels", ["nan", "0,x", "1e9", "0,-101"])
def test_levels_that_no_sound_can_have_are_refused(levels, tmp_path, capsys):
    assert main(["evaluate", "mini", "sounds.csv", str(tmp_path), f"--levels={levels}"]) == 2
    assert "numbers with commas, such as 0,-10, of 100 dB at most" in capsys.readouterr().err
