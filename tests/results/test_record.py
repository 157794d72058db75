"""The commit file of an asset: what it holds, what a later commit keeps, and when all is done."""

import json
from dataclasses import replace

import pytest

from separator.detect.stretches import StretchRule
from separator.errors import OutputDamaged
from separator.results import record as real
from separator.results.commit_file import (
    CommitFile,
    clear_residuals,
    keep_finished,
    merge_records,
    pack_commit_file,
    read_commit_file,
)
from separator.results.manifest import make_table
from separator.results.record import select_done
from separator.rows import STEM, WorkItem
from separator.storage import Storage
from tests.helpers.records import make_record
from tests.helpers.rows import (
    ITEMS,
    MEASURES,
    add_items,
    make_failure,
    make_file,
    make_rendition,
)


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
    failures = [make_record(query="a", hour=hour, code="throttled") for hour in (0, 1)]
    assert merge_records(failures[:1], failures[1:]) == (failures[1:], [])


def test_clear_residuals_changes_other_queries_of_the_same_version_alone():
    old = [make_record(query=query) | {"residual_uri": "all", "null_error": 0.0} for query in "ab"]
    old += [make_record(query="c") | {"residual_uri": "apart"}]
    new = make_record(query="a", hour=1) | {"residual_uri": "all"}
    changes = {"residual_uri": "", "null_error": None, "created_at": new["created_at"]}
    assert clear_residuals(old, [new]) == [old[1] | changes]
    assert clear_residuals(old, [new | {"asset_etag": "new"}]) == []


def test_keep_finished_keeps_no_absence_that_another_threshold_ends():
    item = replace(ITEMS[0], absent_id="c" * 32)
    old = make_record(request="c" * 32) | {"status": "absent", "presence_score": 0.3}
    new = make_record(track=-1, hour=1, code="throttled")
    for threshold, status in ((0.5, "absent"), (0.2, "failed")):
        (row,) = keep_finished([old], [new], [replace(item, threshold=threshold)])
        assert (row["status"], row["created_at"]) == (status, new["created_at"])


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


def test_records_of_silence_and_of_failures_have_figures():
    """No sound at all comes in: its share in the sound is 0."""
    silent = replace(MEASURES, energy=0.0, energy_in=0.0, peak=0.0)
    empty = replace(silent, num_samples=0)
    for file in (make_file(0, "a", measures=silent), make_file(0, "a", measures=empty)):
        row = real.make_record(ITEMS[0], file, None, None, {}, StretchRule())
        assert (row["energy_share"], row["rms_db"], row["peak_db"]) == (0.0, -200.0, -200.0)
    row = real.make_record(ITEMS[0], make_failure(0, "no_audio"), None, None, {}, StretchRule())
    assert (row["num_samples"], row["num_channels"], row["num_clipped"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "damage",
    [
        *({"request": value} for value in (None, 1, "run 7", "0" * 31)),
        *({column: None} for column in ("asset_etag", "error_code", "query_name", "created_at")),
        {"track_index": "0"},
        {"residual_uri": 1},
    ],
)
def test_a_commit_file_with_a_record_that_lacks_its_keys_is_damaged(tmp_path, damage):
    uri = str(tmp_path / "record.json")
    content = {"version": 1, "asset_uri": "x", "records": [make_record() | damage]}
    Storage().write(uri, json.dumps(content).encode())
    with pytest.raises(OutputDamaged, match=r"record\.json: holds no records"):
        read_commit_file(Storage(), uri)


def test_commit_files_without_the_newer_columns_are_read(tmp_path):
    old = {k: v for k, v in make_record().items() if k not in ("query_kind", "query_source")}
    uri = str(tmp_path / "record.json")
    Storage().write(uri, pack_commit_file(CommitFile("x", [old])))
    (row,) = read_commit_file(Storage(), uri).records
    assert row["query_kind"] is None and make_table([row])["query_source"].null_count == 1
