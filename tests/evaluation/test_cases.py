"""Test cases: planned reproducibly, covering every kind, scored as defined."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from separator.errors import AudioError, RequestError
from separator.evaluation.cases import (
    Case,
    MixSettings,
    make_case,
    plan_cases,
    read_cases,
    score,
)
from separator.evaluation.listed import list_cases, summarize
from separator.storage import Storage
from separator.train.sound_lists import Source, read_list

RATE_HZ = 32_000
STORAGE = Storage()


def list_sources(sounds_list) -> list[Source]:
    return [
        Source(s.uri, s.captions, s.kind, s.group, (f"again {s.kind}",))
        for s in read_list(str(sounds_list), STORAGE)
    ]


def plan(sources, per_kind, style, level_db=0.0, num_sounds=2, seed=1, num_examples=0):
    settings = MixSettings(per_kind, style, (level_db,), num_sounds, 0.5, seed, num_examples)
    return plan_cases(sources, settings, level_db)


def test_plan_cases_takes_every_kind_as_target_equally_often(sounds_list):
    cases = plan(list_sources(sounds_list), 4, "caption")
    kinds = [case.sounds[0].kind for case in cases]
    assert sorted(set(kinds)) == ["beep", "hiss", "hum"] and all(kinds.count(k) == 4 for k in kinds)
    assert all(case.query in case.sounds[0].captions for case in cases)
    assert all(len({s.group for s in case.sounds}) == 2 for case in cases)
    assert cases == plan(list_sources(sounds_list), 4, "caption")
    assert cases != plan(list_sources(sounds_list), 4, "caption", seed=2)


@pytest.mark.parametrize("level_db", [-10.0, 0.0, 10.0])
def test_make_case_mixes_at_the_level_of_the_case(sounds_list, level_db):
    case = plan(list_sources(sounds_list), 1, "caption", level_db)[0]
    mixture, target = make_case(STORAGE, case, 0.5, RATE_HZ, seed=1)
    assert score(mixture, target, mixture)["sdr_db"] == pytest.approx(-level_db, abs=0.01)
    np.testing.assert_array_equal(mixture, make_case(STORAGE, case, 0.5, RATE_HZ, seed=1)[0])


def test_plan_cases_absent_query_names_no_sound_of_the_mixture(sounds_list):
    for case in plan(list_sources(sounds_list), 3, "absent"):
        assert not any(case.query in sound.captions for sound in case.sounds)
        assert not make_case(STORAGE, case, 0.5, RATE_HZ, seed=1)[1].any()


def test_plan_cases_paraphrase_style_queries_by_paraphrases(sounds_list):
    cases = plan(list_sources(sounds_list), 1, "paraphrase")
    assert [case.query for case in cases] == ["again beep", "again hiss", "again hum"]


def test_plan_cases_never_mixes_sounds_of_a_group_that_two_kinds_share(sounds_list):
    sources = share_groups(list_sources(sounds_list))
    for style in ("caption", "absent"):
        cases = plan(sources, 12, style)
        assert all(len({s.group for s in case.sounds}) == 2 for case in cases)
        assert {s.group for case in cases for s in case.sounds} == {"hum", "both", "beep"}


def share_groups(sources: list[Source]) -> list[Source]:
    """Put half of the hums, and all hisses, into one group."""
    of_both = [s for s in sources if s.kind == "hiss"] + [s for s in sources if s.kind == "hum"][:2]
    return [replace(s, group="both") if s in of_both else s for s in sources]


def test_plan_cases_says_what_the_list_lacks(sounds_list):
    sources = list_sources(sounds_list)
    with pytest.raises(RequestError, match=r"^4 sounds of different groups .* the list has 3$"):
        plan(sources, 1, "absent", num_sounds=3)
    with pytest.raises(RequestError, match="has no paraphrases"):
        plan(read_list(str(sounds_list), STORAGE), 1, "paraphrase")


@pytest.mark.parametrize(("name", "is_mixed"), [("sounds.csv", True), ("cases.CSV", False)])
def test_list_cases_tells_sounds_from_mixtures_by_the_columns(sounds_list, name, is_mixed):
    (folder := sounds_list.parent / "lists").mkdir(exist_ok=True)
    sounds = "audio,caption\n../hum-0.wav,hum\n../hiss-0.wav,hiss\n"
    (folder / "sounds.csv").write_text(sounds)
    (folder / "cases.CSV").write_text("mixture,target,query,kind\na.wav,b.wav,hum,7\n")
    cases = list_cases(str(folder / name), MixSettings(1, "caption", (0.0,), 2, 1.0, 1))
    assert len(cases) == 1 + is_mixed
    assert all(isinstance(case, Case) for case in cases) == is_mixed
    assert is_mixed or cases[0]["kind"] == "7"


def test_a_kind_called_mean_has_a_row_of_its_own():
    figures = {"sdr_db": 1.0, "si_sdr_db": 1.0, "mixture_db": 0.0, "stem_db": 0.0}
    rows = [{"kind": kind, "sdri_db": db} | figures for kind, db in (("mean", 2.0), ("x", 4.0))]
    summary = summarize(rows)
    found = {kind: row["sdri_db"] for kind, row in summary.items()}
    assert found == {"mean (kind)": 2.0, "x": 4.0, "mean": 3.0}
    more = summarize([*rows, rows[0] | {"kind": "mean (kind)", "sdri_db": 6.0}])
    found = {kind: row["sdri_db"] for kind, row in more.items()}
    assert found == {"mean (kind) (kind)": 2.0, "mean (kind)": 6.0, "x": 4.0, "mean": 4.0}


def test_plan_cases_chooses_examples_of_the_kind_that_is_asked_for(sounds_list):
    sources = read_list(str(sounds_list), Storage())
    plain = plan(sources, 6, "caption")
    for count in (1, 3, 50):
        cases = plan(sources, 6, "caption", num_examples=count)
        assert [replace(case, examples=()) for case in cases] == plain
        for case in cases:
            uris = {source.uri for source in case.examples}
            assert len(uris) == len(case.examples) == min(count, 3)
            assert {source.kind for source in case.examples} == {case.sounds[0].kind}
            assert case.sounds[0].uri not in uris
    absent = plan(sources, 2, "absent", num_examples=2)
    for case in absent:
        assert case.examples[0].kind not in {source.kind for source in case.sounds}
    with pytest.raises(RequestError, match="no other is an example"):
        plan(sources[:5], 1, "caption", num_examples=1)


def test_make_case_mixes_three_sounds(sounds_list):
    cases = plan(list_sources(sounds_list), 1, "caption", num_sounds=3)
    mixture, target = make_case(STORAGE, cases[0], 0.5, RATE_HZ, seed=1)
    assert score(mixture, target, mixture)["sdr_db"] == pytest.approx(-3, abs=0.3)


def test_read_cases_resolves_paths_and_names_a_missing_column(tmp_path):
    (tmp_path / "a.csv").write_text("mixture,target,query\nm.wav,t.wav,rain\n")
    (row,) = read_cases(STORAGE, str(tmp_path / "a.csv"))
    assert row["mixture"] == str(tmp_path / "m.wav") and row["kind"] == "rain"
    (tmp_path / "b.csv").write_text("mixture,target\nm.wav,t.wav\n")
    with pytest.raises(RequestError, match="row 1 has no query"):
        read_cases(STORAGE, str(tmp_path / "b.csv"))
    (tmp_path / "c.csv").write_text("mixture,target,query\nm.wav,t.wav,rain, then wind\n")
    with pytest.raises(RequestError, match="row 1 has more fields"):
        read_cases(STORAGE, str(tmp_path / "c.csv"))


def test_list_cases_refuses_a_query_that_names_no_sound_with_its_row(sounds_list, tmp_path):
    (tmp_path / "a.csv").write_text("mixture,target,query\nm.wav,t.wav,rain\nm.wav,t.wav,?!\n")
    with pytest.raises(RequestError, match=r"a\.csv: row 2: .*'\?!': has no letter or digit"):
        read_cases(STORAGE, str(tmp_path / "a.csv"))
    sources = [replace(source, captions=("...",)) for source in list_sources(sounds_list)]
    with pytest.raises(RequestError, match=r"wav: .*'\.\.\.': has no letter or digit"):
        plan(sources, 1, "caption")
    assert plan(sources, 1, "caption", num_examples=1)


def test_score_refuses_different_lengths():
    with pytest.raises(AudioError, match="one length"):
        score(np.zeros(3), np.zeros(4), np.zeros(4))


def test_read_cases_refuses_a_sound_that_is_no_path(tmp_path):
    """As tables of Hugging Face have them."""
    row = {"mixture": {"bytes": b"RIFF", "path": "m.wav"}, "target": "t.wav", "query": "rain"}
    pd.DataFrame([row]).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(RequestError, match="row 1: mixture is no text, but dict; needed is the pa"):
        read_cases(STORAGE, str(tmp_path / "a.parquet"))
