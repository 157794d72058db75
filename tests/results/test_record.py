"""The commit file of an asset, and the rows that answer what is wanted of it."""

import json

from separator.results.record import find_answers, merge_records, pack_record, read_record
from separator.storage import Storage
from tests.helpers.records import make_record


def test_pack_record_gives_the_same_bytes_for_the_same_rows_in_any_order(tmp_path):
    uri = str(tmp_path / "record.json")
    assert read_record(Storage(), uri) == []
    records = [make_record(query="b"), make_record(query="a")]
    Storage().write(uri, pack_record(records))
    assert [r["query_name"] for r in read_record(Storage(), uri)] == ["a", "b"]
    assert pack_record(records) == pack_record(records[::-1])


def test_merge_records_drops_rows_made_again_and_rows_of_an_earlier_version():
    old = [make_record(query="a"), make_record(query="b"), make_record(query="b", track=1)]
    rows, stale = merge_records(old, [make_record(query="b", hour=1)])
    assert [(r["query_name"], r["track_index"]) for r in rows] == [("a", 0), ("b", 0)]
    assert stale == ["x/1/b"]
    rows, stale = merge_records(old, [make_record(query="b", etag="new")])
    assert [r["query_name"] for r in rows] == ["b"] and stale == ["x/0/a", "x/1/b"]


def test_find_answers_is_empty_until_every_work_item_is_done():
    one, two = "1" * 32, "2" * 32
    row = {"queries": json.dumps([{"request": one}, {"request": two}])}
    records = [make_record(request=one)]
    assert find_answers(records, row, True) == []  # pyright: ignore[reportArgumentType]
    records.append(make_record(query="b", request=two, code="no_audio"))
    assert find_answers(records, row, True) == []  # pyright: ignore[reportArgumentType]
    assert find_answers(records, row, False) == records  # pyright: ignore[reportArgumentType]
