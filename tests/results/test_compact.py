"""Compaction: rows of the last commits are kept, in few files, and none is lost on the way."""

import io
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from separator.export.select import copy_current
from separator.results.compact import compact, merge
from separator.results.done import find_done
from separator.results.latest import find_latest
from separator.results.manifest import (
    ManifestWriter,
    list_files,
    make_table,
    read_table,
    write_table,
)
from separator.results.paths import Layout
from separator.results.schema import make_schema
from separator.run.status import read_status
from separator.storage import Storage
from tests.helpers.records import make_record

KEYS = ["asset_uri", "query_name", "track_index", "asset_etag", "status"]
FIRST_RUN = [
    make_record("x", "a"),
    make_record("x", "b"),
    make_record("y", "a", track=-1, code="no_audio"),
    make_record("z", "a", etag="old", track=0),
    make_record("z", "a", etag="old", track=1),
    make_record("z", "b", etag="old"),
    make_record("w", "a"),
]
SECOND_RUN = [
    make_record("x", "a", hour=1),
    make_record("y", "a", hour=1),
    make_record("z", "a", etag="new", hour=1),
    make_record("w", "a"),  # added again by a run that found the commit file
]
LATEST = [
    ("w", "a", 0, "e", "ok"),
    ("x", "a", 0, "e", "ok"),
    ("x", "b", 0, "e", "ok"),
    ("y", "a", 0, "e", "ok"),
    ("z", "a", 0, "new", "ok"),
]


def write(output, run_id, records, rows_per_file=100) -> None:
    writer = ManifestWriter(*output, run_id, rows_per_file)
    for record in records:
        writer.add([record])
    writer.flush()


def read(output) -> list[tuple]:
    storage, layout = output
    tables = [pd.read_parquet(io.BytesIO(storage.read(u))) for u in list_files(storage, layout)]
    return list_keys(pd.concat(tables))


def list_keys(rows: pd.DataFrame) -> list[tuple]:
    return sorted(rows[KEYS].itertuples(index=False, name=None))


def test_merge_joins_tables_up_to_a_size_and_yields_none_empty():
    sizes = [0, 2, 1, 0, 5, 1, 0]
    tables = [make_table([make_record(str(i)) for i in range(size)]) for size in sizes]
    assert [len(table) for table in merge(tables, 3)] == [3, 5, 1]
    assert list(merge(tables[:1], 3)) == []


def test_compact_leaves_one_file_of_a_run_and_no_other_run_untouched(output):
    records = [make_record(f"x{i}", query) for i in range(7) for query in "ab"]
    write(output, "r1", records, rows_per_file=3)
    before = read(output)
    assert len(list_files(*output)) == 5
    compact(*output, "r1")
    assert read(output) == before and len(before) == 14
    first = list_files(*output)
    assert len(first) == 1
    write(output, "r2", [make_record("y")])
    compact(*output, "r2")
    assert set(first) < set(list_files(*output))
    compact(*output, "r2")
    assert len(read(output)) == 15 and len(list_files(*output)) == 2


def test_compact_of_an_empty_output_writes_nothing(output):
    compact(*output, "r")
    assert list_files(*output) == []


def test_compact_leaves_a_damaged_file_and_names_it(local_output, caplog):
    """Its keys can be read and another column cannot: the run that comes to it still ends."""
    write(local_output, "r1", [make_record(f"a{i}", "a") for i in range(3_000)], 5_000)
    (damaged,) = list_files(*local_output)
    path = Path(damaged)
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    (column,) = [each for each in columns if each.path_in_schema == "stem_uri"]
    data = bytearray(path.read_bytes())
    first = column.dictionary_page_offset or column.data_page_offset
    inner = slice(first + 10, first + column.total_compressed_size)
    data[inner] = bytes(255 - byte for byte in data[inner])
    path.write_bytes(data)
    new = [make_record("a0", "a", hour=1), make_record("b", "a"), make_record("c", "a")]
    write(local_output, "r2", new, 2)
    compact(*local_output, "r2")
    assert f"{damaged}: " in caplog.text and "move it away" in caplog.text
    assert path.read_bytes() == data
    path.unlink()
    assert [row[0] for row in read(local_output)] == ["a0", "b", "c"]
    assert len(list_files(*local_output)) == 1


def test_compact_removes_superseded_rows(output):
    write(output, "r1", FIRST_RUN)
    write(output, "r2", SECOND_RUN)
    compact(*output, "r2")
    assert read(output) == LATEST


def test_read_latest_yields_the_rows_that_compact_keeps(output):
    write(output, "r1", FIRST_RUN)
    write(output, "r2", SECOND_RUN)
    masks = find_latest(*output)
    tables = [read_table(output[0], uri, mask).to_pandas() for uri, mask in masks.items()]
    assert len(tables) == 2 and list_keys(pd.concat(tables)) == LATEST


def test_compact_fills_columns_that_an_earlier_version_lacks_with_null(output):
    write(output, "r1", [make_record("x", "a"), make_record("y", "a")])
    (uri,) = list_files(*output)
    table = pq.read_table(io.BytesIO(output[0].read(uri)))
    assert table.schema.metadata
    old = table.drop_columns(["similarity", "kind"]).replace_schema_metadata()
    write_table(output[0], uri, old)
    write(output, "r2", [make_record("x", "a", hour=1), make_record("z", "a")])
    compact(*output, "r2")
    assert [row[0] for row in read(output)] == ["x", "y", "z"]
    (uri,) = list_files(*output)
    table = pq.read_table(io.BytesIO(output[0].read(uri)))
    assert table.schema.equals(make_schema(), check_metadata=True)
    assert table["kind"].null_count == 3


class Overtaken(Storage):
    """Let another run compact just before the first deletion."""

    def __init__(self, storage, layout) -> None:
        super().__init__(storage.settings)
        self.plain, self.layout = storage, layout

    def delete(self, uri) -> None:
        if self.layout is not None:
            layout, self.layout = self.layout, None
            compact(self.plain, layout, "r3")
        super().delete(uri)


def test_two_compactions_at_once_lose_no_row(output):
    write(output, "r2", SECOND_RUN)
    before = read(output)
    compact(Overtaken(*output), output[1], "r2")
    assert read(output) == before and len(before) == 4


@pytest.mark.parametrize("num_rows", [1, 3])
def test_compact_never_overwrites_a_file_that_it_still_has_to_read(local_output, num_rows):
    write(local_output, "r1", [make_record(f"x{i}") for i in range(9)], rows_per_file=1)
    for _ in range(3):
        compact(*local_output, "r1", num_rows)
        assert [row[0] for row in read(local_output)] == [f"x{i}" for i in range(9)]
        assert len(list_files(*local_output)) == 9 // num_rows


class CompactsOnce(Storage):
    """Storage on which a run ends right after the manifest was listed so many times."""

    def __init__(self, num_listings: int) -> None:
        super().__init__()
        self.num_left = num_listings

    def list(self, uri, *arguments, **options):
        found = list(super().list(uri, *arguments, **options))
        self.num_left -= uri.endswith("/manifest")
        if not self.num_left:
            compact(Storage(), Layout(uri.removesuffix("/manifest"), "flac"), "r")
        return iter(found)


def count_assets(storage: Storage, layout: Layout, _: Path) -> int:
    return read_status(storage, layout).num_assets


def count_done(storage: Storage, layout: Layout, _: Path) -> int:
    return len(find_done(storage, layout, retry_failed=False).done)


def count_copied(storage: Storage, layout: Layout, folder: Path) -> int:
    folder.mkdir()
    copy_current(storage, layout, folder)
    return sum(pq.read_metadata(path).num_rows for path in folder.iterdir())


@pytest.mark.parametrize(
    ("count", "num_listings"),
    [(count_assets, 1), (count_assets, 2), (count_done, 1), (count_copied, 1), (count_copied, 2)],
)
def test_a_reader_begins_again_where_a_run_has_put_the_files_together(
    tmp_path, count, num_listings
):
    layout = Layout(str(tmp_path), "flac")
    writer = ManifestWriter(Storage(), layout, "r", rows_per_file=2)
    for number in range(6):
        writer.add([make_record(str(number))])
    writer.flush()
    assert len(list_files(Storage(), layout)) == 3
    assert count(CompactsOnce(num_listings), layout, tmp_path / "copies") == 6
    assert len(list_files(Storage(), layout)) == 1
