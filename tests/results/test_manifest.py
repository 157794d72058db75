"""What is done, what still holds, and that nothing is lost when files become fewer."""

import io
from contextlib import closing

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from separator.export.select import open_manifest
from separator.results.manifest import (
    ManifestWriter,
    compact,
    find_done,
    hash_requests,
    list_files,
    write_table,
)
from separator.results.paths import Layout
from separator.results.schema import make_schema
from separator.storage import Storage
from tests.helpers.records import make_record


@pytest.fixture(params=["local", "moto"])
def output(request, tmp_path):
    if request.param == "local":
        return Storage(), Layout(str(tmp_path / "out"), "flac")
    bucket = request.getfixturevalue("moto_bucket")
    return bucket.storage, Layout(f"{bucket.uri}/out", "flac")


def write(output, run_id, records, rows_per_file=100) -> None:
    writer = ManifestWriter(*output, run_id, rows_per_file)
    for record in records:
        writer.add([record])
    writer.flush()


def read(output) -> list[tuple]:
    storage, layout = output
    tables = [pd.read_parquet(io.BytesIO(storage.read(u))) for u in list_files(storage, layout)]
    keys = ["asset_uri", "query_name", "track_index", "asset_etag", "status"]
    return sorted(pd.concat(tables)[keys].itertuples(index=False, name=None))


def test_a_run_ends_with_one_file_of_the_same_rows(output):
    records = [make_record(f"x{i}", query) for i in range(7) for query in "ab"]
    write(output, "r1", records, rows_per_file=3)
    before = read(output)
    assert len(list_files(*output)) == 5
    compact(*output, "r1")
    assert read(output) == before and len(before) == 14
    assert len(list_files(*output)) == 1
    # A second run touches only what it brings.
    first = list_files(*output)
    write(output, "r2", [make_record("y")])
    compact(*output, "r2")
    assert set(first) < set(list_files(*output))
    compact(*output, "r2")
    assert len(read(output)) == 15


def test_what_an_earlier_version_wrote_is_kept(output):
    """Columns that it did not know are null; a data set knows as much."""
    write(output, "r1", [make_record("x", "a"), make_record("y", "a")])
    (uri,) = list_files(*output)
    table = pq.read_table(io.BytesIO(output[0].read(uri)))
    assert table.schema.metadata
    write_table(
        output[0], uri, table.drop_columns(["similarity", "kind"]).replace_schema_metadata()
    )
    write(output, "r2", [make_record("x", "a", hour=1), make_record("z", "a")])
    compact(*output, "r2")
    assert [row[0] for row in read(output)] == ["x", "y", "z"]
    (uri,) = list_files(*output)
    table = pq.read_table(io.BytesIO(output[0].read(uri)))
    assert table.schema.equals(make_schema(), check_metadata=True)


REPLACED = (
    [
        make_record("x", "a"), make_record("x", "b"),
        make_record("y", "a", track=-1, code="no_audio"),
        make_record("z", "a", etag="old", track=0), make_record("z", "a", etag="old", track=1),
        make_record("z", "b", etag="old"),
        make_record("w", "a"),
    ],
    [
        make_record("x", "a", hour=1),
        make_record("y", "a", hour=1),
        make_record("z", "a", etag="new", hour=1),
        make_record("w", "a"),  # known: added again by a run that found its record
    ],
)  # fmt: skip


def test_before_it_is_compacted_a_data_set_sees_the_same_rows(output, tmp_path):
    """As where a run was killed just before its end."""
    for run_id, records in zip(("r1", "r2"), REPLACED, strict=True):
        write(output, run_id, records)
    for number, uri in enumerate(list_files(*output)):
        output[0].fetch(uri, tmp_path / f"{number}.parquet")
    columns = "asset_uri, query_name, track_index, asset_etag, status"
    with closing(open_manifest(tmp_path)) as connection:
        seen = connection.table("latest").project(columns).fetchall()
    compact(*output, "r2")
    assert sorted(seen) == read(output) and len(seen) == 5


class Overtaken(Storage):
    """Another run compacts when this one is about to delete for the first time."""

    def __init__(self, storage, layout) -> None:
        super().__init__(storage.settings)
        self.plain, self.layout = storage, layout

    def delete(self, uri) -> None:
        if self.layout is not None:
            layout, self.layout = self.layout, None
            compact(self.plain, layout, "r3")
        super().delete(uri)


def test_two_that_compact_at_once_lose_no_row(output):
    write(output, "r2", REPLACED[1])
    before = read(output)
    compact(Overtaken(*output), output[1], "r2")
    assert read(output) == before and len(before) == 4


def test_what_was_replaced_goes(output):
    for run_id, records in zip(("r1", "r2"), REPLACED, strict=True):
        write(output, run_id, records)
    compact(*output, "r2")
    assert read(output) == [
        ("w", "a", 0, "e", "ok"), ("x", "a", 0, "e", "ok"), ("x", "b", 0, "e", "ok"),
        ("y", "a", 0, "e", "ok"), ("z", "a", 0, "new", "ok"),
    ]  # fmt: skip


def test_what_counts_as_done(output):
    fine, broken, passing = (f"{i}" * 32 for i in "123")
    write(output, "r", [
        make_record("x", request=fine),
        make_record("y", request=broken, code="no_audio"),
        make_record("z", request=passing, code="throttled"),
        make_record("x", track=1, request=fine),
        make_record("y", track=1, request=broken),
    ])  # fmt: skip
    assert list(find_done(*output, retry_failed=True)) == list(hash_requests([fine]))
    assert list(find_done(*output, retry_failed=False)) == list(hash_requests([fine, broken]))


def test_a_first_run_has_nothing_done(output):
    assert find_done(*output, retry_failed=True).dtype == np.uint64
    assert not len(find_done(*output, retry_failed=True))
    compact(*output, "r")
    assert list_files(*output) == []
