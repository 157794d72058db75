"""Lists of cases: what cannot be scored is left out and told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from jobs.cli import main
from separator.api import load_model
from separator.errors import RequestError
from separator.evaluation.cases import MixSettings
from separator.evaluation.listed import CaseScorer, part_troubles
from separator.storage import Storage
from separator.train.sound_lists import Source, read_example

RATE_HZ = 32_000


@pytest.fixture
def cases(tmp_path) -> list[dict[str, str]]:
    """Three cases: a sound one, one of two lengths, one whose mixture is no sound."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)
    for name, sound in (("mixture", noise), ("target", noise / 2), ("short", noise[:100])):
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE_HZ)
    (tmp_path / "broken.wav").write_text("no sound")
    names = [("mixture", "target"), ("mixture", "short"), ("broken", "target")]
    return [
        {"mixture": f"{tmp_path}/{one}.wav", "target": f"{tmp_path}/{other}.wav"}
        | {"query": "wind", "kind": "wind"}
        for one, other in names
    ]


def test_a_case_that_cannot_be_scored_costs_no_other(cases):
    settings = MixSettings(1, "caption", (0.0,), 2, 1.0, 1)
    scorer = CaseScorer(load_model("mini", device="cpu"), settings, Storage())
    rows = [row for case in cases for row in scorer(case)]
    scored, (length, unreadable) = part_troubles(rows)
    assert len(scored) == 1 and np.isfinite(scored[0]["sdri_db"])
    assert "bring them to one length" in length and "broken.wav" in unreadable
    with pytest.raises(RequestError, match=r"none of the 2 cases can be scored: .*length"):
        part_troubles(rows[1:])


def test_a_silent_sound_of_a_finished_case_has_no_score(cases, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    silent = f"{tmp_path}/silent.wav"
    settings = MixSettings(1, "caption", (0.0,), 2, 1.0, 1)
    scorer = CaseScorer(load_model("mini", device="cpu"), settings, Storage())
    for key in ("mixture", "target"):
        with pytest.raises(RequestError, match=r"silent\.wav: silent"):
            part_troubles(scorer(cases[0] | {key: silent}))


@pytest.mark.parametrize("option", [["--sounds", "3"], ["--style", "absent"], ["--levels=-10"]])
def test_options_of_mixing_are_refused_for_finished_cases(cases, tmp_path, option, capsys):
    pd.DataFrame(cases).to_csv(tmp_path / "cases.csv", index=False)
    arguments = ["evaluate", "mini", str(tmp_path / "cases.csv")]
    assert main([*arguments, str(tmp_path / "out"), *option]) == 2
    assert "is for mixing; " in capsys.readouterr().err
    assert main([*arguments, "s3://bucket/out"]) == 2
    assert "must be a folder of this machine" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.check
def test_evaluate_says_which_cases_it_left_out(shared_ray, cases, tmp_path, capsys):
    pd.DataFrame(cases).to_csv(tmp_path / "cases.csv", index=False)
    out: Path = tmp_path / "out"
    assert main(["evaluate", "mini", str(tmp_path / "cases.csv"), str(out)]) == 3
    shown, said = capsys.readouterr()
    assert "wind" in shown and "2 of 3 cases are left out:\n  " in said and "broken.wav" in said
    assert len(pd.read_parquet(out / "scores.parquet")) == 1


@pytest.mark.parametrize("levels", ["nan", "0,inf", "loud"])
def test_levels_are_numbers(levels, capsys):
    assert main(["evaluate", "mini", "x.csv", "out", f"--levels={levels}"]) == 2
    assert f"{levels!r}: numbers with commas" in capsys.readouterr().err


def test_an_example_of_a_mined_sound_is_its_two_seconds(tmp_path):
    ramp_T = np.arange(10 * RATE_HZ) / (10 * RATE_HZ)
    soundfile.write(tmp_path / "a.wav", ramp_T, RATE_HZ, "FLOAT")
    source = Source(str(tmp_path / "a.wav"), ("a",), start_s=3.0)
    for rate_hz in (RATE_HZ, RATE_HZ // 2):
        example_T = read_example(Storage(), source, rate_hz)
        assert len(example_T) == 2 * rate_hz
        assert example_T[100] == pytest.approx(0.3, abs=0.01)
    late = replace(source, start_s=9.5)
    assert read_example(Storage(), late, RATE_HZ)[0] == pytest.approx(0.8, abs=1e-4)
    whole = replace(source, start_s=None)
    assert len(read_example(Storage(), whole, RATE_HZ)) == 10 * RATE_HZ
