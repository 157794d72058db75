"""The table of verdicts: merged by time, safe beside other writers, readable by others."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pandas as pd
import pytest

from separator.errors import OutputDamaged, RequestError
from separator.results.compact import compact
from separator.results.paths import Layout
from separator.results.verdicts import (
    Verdict,
    add_verdicts,
    list_fingerprints,
    merge,
    name_verdicts,
    pack,
    parse_time,
    read_verdicts,
)
from separator.storage import Storage
from tests.helpers.export_library import write_manifest
from tests.helpers.records import make_record

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make(number: int, verdict: str = "accept", hours: int = 0, **values) -> Verdict:
    return Verdict(f"{number:032x}", verdict, reviewed_at=NOON + timedelta(hours=hours), **values)


def test_add_verdicts_keeps_the_later_one_whatever_comes_first(folder):
    storage, uri = folder
    layout = Layout(uri, "flac")
    assert read_verdicts(storage, layout) == {}
    assert add_verdicts(storage, layout, [make(1), make(2, "reject", note="hum")]) == 2
    assert add_verdicts(storage, layout, [make(1, "reject", 1), make(2, "accept", -1)]) == 1
    found = read_verdicts(storage, layout)
    assert found == {f"{1:032x}": make(1, "reject", 1), f"{2:032x}": make(2, "reject", note="hum")}


def test_add_verdicts_twice_changes_nothing(tmp_path):
    layout = Layout(str(tmp_path), "flac")
    verdicts = [make(n, presence=((0.5, 1.0),), reviewer="7") for n in range(5)]
    add_verdicts(Storage(), layout, verdicts)
    before = Storage().read(name_verdicts(layout))
    assert add_verdicts(Storage(), layout, verdicts[::-1]) == 0
    assert Storage().read(name_verdicts(layout)) == before


def test_add_verdicts_loses_none_of_several_writers(tmp_path):
    layout = Layout(str(tmp_path), "flac")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: add_verdicts(Storage(), layout, [make(n)]), range(12)))
    assert len(read_verdicts(Storage(), layout)) == 12


def test_verdicts_are_read_by_pandas(tmp_path):
    layout = Layout(str(tmp_path), "flac")
    add_verdicts(Storage(), layout, [make(2, "", note="ü"), make(1, presence=((1.0, 2.5),))])
    table = pd.read_parquet(tmp_path / "review/verdicts.parquet")
    assert table.fingerprint.tolist() == [f"{1:032x}", f"{2:032x}"]
    assert table.verdict.tolist() == ["accept", ""] and table.note.tolist() == ["", "ü"]
    assert table.presence[0][0] == {"start_s": 1.0, "stop_s": 2.5} and table.presence[1] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "../x"},
        {"verdict": "maybe"},
        {"note": "x" * 10_001},
        {"reviewed_at": datetime(2026, 1, 1)},
        {"presence": ((2.0, 1.0),)},
    ],
)
def test_verdict_refuses_what_it_cannot_hold(changes):
    with pytest.raises(RequestError):
        replace(make(1), **changes)


def test_read_verdicts_names_a_file_that_is_none(tmp_path):
    layout = Layout(str(tmp_path), "flac")
    whole = pack({f"{n:032x}": make(n) for n in range(50)})
    damaged = whole[:20] + bytes(255 - byte for byte in whole[20:60]) + whole[60:]
    other = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_parquet(other)
    for data in (b"no parquet", b"", damaged, other.getvalue()):
        Storage().write(name_verdicts(layout), data)
        with pytest.raises(OutputDamaged, match=r"verdicts\.parquet: is no table of verdicts"):
            read_verdicts(Storage(), layout)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("note", None, "a value is missing"),
        ("reviewed_at", None, "a value is missing"),
        ("presence", [{"start_s": None, "stop_s": 1.0}], "a value is missing"),
        ("verdict", "yes", "verdict='yes': must be accept, reject or empty"),
    ],
)
def test_read_verdicts_names_the_row_of_another_program(tmp_path, column, value, said):
    layout, path = Layout(str(tmp_path), "flac"), tmp_path / "review/verdicts.parquet"
    add_verdicts(Storage(), layout, [make(1)])
    table = pd.read_parquet(path)
    table[column] = pd.Series([value], dtype=table[column].dtype)
    table.to_parquet(path)
    with pytest.raises(OutputDamaged, match=f"is no table of verdicts: {1:032x}: {said}"):
        read_verdicts(Storage(), layout)


def test_merge_of_equal_times_takes_the_new_one():
    assert merge({f"{1:032x}": make(1)}, [make(1, "reject")])[f"{1:032x}"].verdict == "reject"


def test_parse_time_takes_utc_where_no_zone_is_given():
    assert parse_time("t", "2026-01-01T12:00:00", lambda: NOON) == NOON
    assert parse_time("t", "2026-01-01T12:00:00.000Z", lambda: NOON) == NOON
    with pytest.raises(RequestError, match="t='yesterday'"):
        parse_time("t", "yesterday", lambda: NOON)


def tell(verdicts: list[Verdict]) -> Verdict:
    (found,) = merge({}, verdicts).values()
    return found


NOTE = make(1, "", 2, note="hum", reviewer="b")


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_merge_keeps_of_each_field_what_was_given_last(order):
    """Whatever comes first: verdicts of several people, notes, presence."""
    rejected = make(1, "reject", 0, note="?", reviewer="a", presence=((0.5, 1.0),))
    said = [rejected, NOTE, make(1, "", 3, presence=((1.0, 2.0),), reviewer="c")]
    found = tell([said[number] for number in order])
    assert (found.verdict, found.note, found.reviewer) == ("reject", "hum", "a")
    assert found.presence == ((1.0, 2.0),) and found.reviewed_at == NOON + timedelta(hours=3)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_merge_lets_go_of_what_was_taken_back(order, tmp_path):
    layout = Layout(str(tmp_path), "flac")
    then = NOON + timedelta(hours=1)
    gone = make(1, "", 1, verdict_at=then, note_at=then)
    said = [make(1, "accept", note="good"), gone, make(1, "", 2, presence=((1.0, 2.0),))]
    for number in order:
        add_verdicts(Storage(), layout, [said[number]])
    (found,) = read_verdicts(Storage(), layout).values()
    assert (found.verdict, found.note, found.presence) == ("", "", ((1.0, 2.0),))
    assert add_verdicts(Storage(), layout, said) == 0


def test_a_note_that_is_taken_back_takes_no_verdict_back(tmp_path):
    layout = Layout(str(tmp_path), "flac")
    gone = make(1, "", 2)
    add_verdicts(Storage(), layout, [replace(gone, note_at=gone.reviewed_at)])
    add_verdicts(Storage(), layout, [make(1, "accept", 1)])
    assert read_verdicts(Storage(), layout)[f"{1:032x}"].verdict == "accept"


def test_merge_gives_the_same_in_any_order_and_twice():
    """An annotation without a choice says nothing of the verdict, whoever made it."""
    said = [
        make(1, "accept", 0, reviewer="a"),
        make(1, "reject", 1, reviewer="b"),
        make(1, "", 2, reviewer="b"),
        make(1, "", 3, note="?", reviewer="a"),
        replace(make(1, "", 4), presence=((0.0, 1.0),)),
        replace(make(1, "", 5), note_at=make(1, "", 5).reviewed_at),
    ]
    for number in range(1, len(said) + 1):
        found = {repr(tell(list(order))) for order in permutations(said[:number])}
        assert found == {repr(tell([tell(said[:number]), *said[:number]]))}
    last = tell(said)
    assert (last.verdict, last.reviewer, last.note) == ("reject", "b", "")
    assert last.presence == ((0.0, 1.0),)


def test_read_verdicts_of_an_earlier_version(tmp_path):
    """Its files do not say what was taken back: there, neither verdict nor note."""
    layout, path = Layout(str(tmp_path), "flac"), tmp_path / "review/verdicts.parquet"
    add_verdicts(Storage(), layout, [make(1, "", 1), make(2, "reject"), make(3, "", 1, note="?")])
    columns = ["fingerprint", "verdict", "note", "reviewed_at", "reviewer", "presence"]
    pd.read_parquet(path)[columns].to_parquet(path)
    assert add_verdicts(Storage(), layout, [make(3, "", 1, note="?")]) == 0
    add_verdicts(Storage(), layout, [make(n, "accept", n == 2) for n in (1, 2, 3)])
    found = read_verdicts(Storage(), layout)
    assert [found[f"{n:032x}"].verdict for n in (1, 2, 3)] == ["", "accept", "accept"]
    assert found[f"{3:032x}"].note == "?"


def test_times_are_such_that_the_table_can_be_read_again(tmp_path):
    layout = Layout(str(tmp_path), "flac")
    for text in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"):
        with pytest.raises(RequestError, match="is no time in ISO 8601"):
            parse_time("t", text, lambda: NOON)
    for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59+12:00"):
        verdict = replace(make(1), reviewed_at=parse_time("t", text, lambda: NOON))
        add_verdicts(Storage(), layout, [verdict])
    assert read_verdicts(Storage(), layout)[f"{1:032x}"].reviewed_at.year == 9999


class CompactedStorage(Storage):
    """Storage on which a run compacts the manifest after its files were read once."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout, self.reads = layout, 0

    def read(self, uri: str) -> bytes:
        self.reads += 1
        if self.reads == 3:
            compact(Storage(), self.layout, "r")
        return super().read(uri)


def test_fingerprints_are_listed_while_a_run_compacts_the_manifest(tmp_path):
    rows = [
        make_record(f"/in/{n}.wav") | {"fingerprint": make(n).fingerprint} for n in range(60)
    ]  # two files
    write_manifest(Storage(), str(tmp_path), rows)
    layout = Layout(str(tmp_path), "flac")
    found = list_fingerprints(CompactedStorage(layout), layout)
    assert found == {row["fingerprint"] for row in rows}
