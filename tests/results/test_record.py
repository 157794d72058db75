"""The commit file of an asset: what it holds, what a later commit keeps, and when all is done."""

from dataclasses import replace

from separator.detect.stretches import StretchRule
from separator.results import record as real
from separator.results.commit_file import (
    CommitFile,
    merge_records,
    pack_commit_file,
    read_commit_file,
)
from separator.results.manifest import make_table
from separator.results.record import select_done
from separator.rows import STEM, WorkItem
from separator.storage import Storage
from tests.helpers.records import make_record
from tests.helpers.rows import ITEMS, add_items, make_file, make_rendition


def test_commit_file_is_read_back_and_does_not_depend_on_order(tmp_path):
    uri = str(tmp_path / "record.json")
    assert read_commit_file(Storage(), uri) == CommitFile()
    records = [make_record(query="b"), make_record(query="a")]
    file = CommitFile("x", records)
    Storage().write(uri, pack_commit_file(file))
    assert [r["query_name"] for r in read_commit_file(Storage(), uri).records] == ["a", "b"]
    assert pack_commit_file(file) == pack_commit_file(CommitFile("x", records[::-1]))


def test_merge_records_replaces_rows_made_again_and_rows_of_an_earlier_version():
    old = [make_record(query="a"), make_record(query="b"), make_record(query="b", track=1)]
    rows, replaced = merge_records(old, [make_record(query="b", hour=1)])
    assert [(r["query_name"], r["track_index"]) for r in rows] == [("a", 0), ("b", 0)]
    assert replaced == ["x/1/b"]
    rows, replaced = merge_records(old, [make_record(query="b", etag="new")])
    assert [r["query_name"] for r in rows] == ["b"] and replaced == ["x/0/a", "x/1/b"]


def test_select_done_needs_a_final_record_of_every_item():
    items = (ITEMS[0], replace(ITEMS[1], former_id="f" * 32))
    records = [make_record(request=ITEMS[0].id)]
    assert select_done(records, items, True) == []
    for known_id in (ITEMS[1].id, "f" * 32):  # by the rule of today and of the first release
        both = [*records, make_record(query="b", request=known_id, code="no_audio")]
        assert select_done(both, items, True) == []
        assert select_done(both, items, False) == both


def test_record_tells_kind_and_source_of_the_query():
    bird = WorkItem(
        "2" * 32, STEM, "bird", "", examples_version="3" * 32, examples_source='["s3://b/bird/"]'
    )
    dog = WorkItem(
        "4" * 32,
        STEM,
        "dog",
        "",
        examples_version="5" * 32,
        examples_source='["a.png"]',
        examples_kind="image",
    )
    asset = add_items(bird, dog, make_rendition("m"))
    shared = {"run_id": "r", "created_at": "2026-01-01T00:00:00+00:00"}
    rows = [
        real.make_record(
            item, make_file(0, item.name, asset=asset), None, None, shared, StretchRule()
        )
        for item in asset.items
    ]
    table = make_table(rows).to_pydict()
    assert table["query_kind"] == ["text", "text", "audio", "image", ""]
    assert table["query_source"] == ["", "", '["s3://b/bird/"]', '["a.png"]', ""]
    assert table["query_text"] == ["an a", "a b", "", "", "mix m"]


def test_commit_files_without_the_newer_columns_are_read(tmp_path):
    old = {k: v for k, v in make_record().items() if k not in ("query_kind", "query_source")}
    uri = str(tmp_path / "record.json")
    Storage().write(uri, pack_commit_file(CommitFile("x", [old])))
    (row,) = read_commit_file(Storage(), uri).records
    assert row["query_kind"] is None and make_table([row])["query_source"].null_count == 1
