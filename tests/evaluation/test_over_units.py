"""Units are scored one by one: what fails is told, what is done is found again."""

import json

import pytest

from separator.errors import AudioError, CheckpointMissing, StorageBusy
from separator.evaluation.over_units import (
    Actor,
    Unit,
    hash_name,
    name_part,
    read_parts,
    score_units,
)

UNITS = [Unit("a", 2.0), Unit("b", -1.0)]


def score(number: float) -> list[dict]:
    if number < 0:
        raise AudioError(f"{number} is negative")
    return [{"root": number**0.5}, {"root": float("nan")}]


def test_an_actor_answers_with_rows_or_with_what_went_wrong():
    actor = Actor(lambda: score, UNITS, threads=0)
    good, bad = actor({"id": 0}), actor({"id": 1})
    rows = json.loads(good["rows"])
    assert rows[0] == {"root": 2.0**0.5} and rows[1]["root"] != rows[1]["root"]
    assert bad == {"id": 1, "rows": "", "trouble": "-1.0 is negative", "may_pass": False}
    assert actor({"id": 0}) == good


@pytest.mark.parametrize("error", [CheckpointMissing("gone"), StorageBusy("busy")])
def test_a_model_that_does_not_load_is_tried_once(error):
    tried = []

    def make():
        tried.append(1)
        raise error

    actor = Actor(make, UNITS, threads=0)
    answers = [actor({"id": number}) for number in (0, 1)]
    assert {(a["trouble"], a["may_pass"]) for a in answers} == {(str(error), error.may_pass)}
    assert len(tried) == 1


def test_what_is_there_is_not_done_again(tmp_path):
    shown = []
    for unit in UNITS:
        folder = tmp_path / "parts"
        read_parts(UNITS, folder)
        name_part(folder, unit).write_text(json.dumps([{"unit": unit.name}]))
    rows = score_units(UNITS[::-1], lambda: score, 1, "cpu", folder, shown.append)
    assert rows == [{"unit": "b"}, {"unit": "a"}] and shown == ["2 of 2 are there already"]
    assert read_parts([*UNITS, Unit("c", 1)], folder).keys() == {"a", "b"}


@pytest.mark.parametrize("left", [b"", b'[{"root": 1.4', b"\0\0\0\0", b"\xff\xfe"])
def test_a_part_that_is_not_whole_is_not_taken_for_done(left, tmp_path):
    name_part(tmp_path, UNITS[0]).write_bytes(left)
    name_part(tmp_path, UNITS[1]).write_text('[{"root": 2.0}]')
    assert read_parts(UNITS, tmp_path) == {"b": [{"root": 2.0}]}


def test_names_tell_values_apart():
    assert hash_name("a", 1, [2.5]) == hash_name("a", 1, [2.5])
    assert len({hash_name("a", 1), hash_name("a1"), hash_name("a", "1"), hash_name(["a", 1])}) == 4
