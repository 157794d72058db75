"""The manifest: Parquet files of records. What is done by it, and how few files it is kept in."""

import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import ObjectMissing
from separator.layout import Layout
from separator.records import is_terminal
from separator.rows import Record, make_schema
from separator.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_FILE = 1_000_000


class ManifestWriter:
    """Collects records and writes them as files of one run, `flush` at the latest."""

    def __init__(self, storage: Storage, layout: Layout, run_id: str, rows_per_file: int) -> None:
        self.storage, self.layout, self.run_id = storage, layout, run_id
        self.rows_per_file = rows_per_file
        self.held: list[Record] = []
        self.num_files = 0

    def add(self, records: Sequence[Record]) -> None:
        self.held += records
        if len(self.held) >= self.rows_per_file:
            self.flush()

    def flush(self) -> None:
        if self.held:
            uri = self.layout.manifest_file(self.run_id, self.num_files)
            write_table(self.storage, uri, make_table(self.held))
            self.held, self.num_files = [], self.num_files + 1


def make_table(records: Sequence[Record]) -> "pa.Table":
    import pyarrow as pa  # imported here: it costs 0.2 s

    rows = [r | {"created_at": datetime.fromisoformat(r["created_at"])} for r in records]
    return pa.Table.from_pylist(rows, schema=make_schema())


def write_table(storage: Storage, uri: str, table: "pa.Table") -> None:
    import pyarrow.parquet as pq

    # Through our storage: some stores refuse Arrow's own uploads.
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    storage.write(uri, sink.getvalue())


def list_files(storage: Storage, layout: Layout) -> list[str]:
    try:
        return [e.uri for e in storage.list(layout.manifest(), ["*.parquet"], recursive=False)]
    except ObjectMissing:  # a first run
        return []


def read_tables(
    storage: Storage, uris: Sequence[str], columns: Sequence[str] | None = None
) -> Iterator["pa.Table"]:
    import pyarrow.parquet as pq

    for uri in uris:
        columns_list = list(columns) if columns else None
        yield pq.read_table(io.BytesIO(storage.read(uri)), columns=columns_list)


def find_done(storage: Storage, layout: Layout, retry_failed: bool) -> np.ndarray:
    """Sorted hashes of the requests that need nothing more: 8 bytes each, so millions fit."""
    done, open_ = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for table in read_tables(
        storage, list_files(storage, layout), ["request", "status", "error_code"]
    ):
        rows = table.to_pylist()
        is_done = np.array([is_terminal(row, retry_failed) for row in rows], bool)
        hashes = hash_requests([row["request"] for row in rows])
        done.append(hashes[is_done])
        open_.append(hashes[~is_done])
    return np.setdiff1d(np.concatenate(done), np.concatenate(open_))


def hash_requests(requests: Sequence[str]) -> np.ndarray:
    return np.array([int(request[:16], 16) for request in requests], np.uint64)


def compact(storage: Storage, layout: Layout, run_id: str) -> None:
    """Few files, and of each asset and query only what was made last.

    New files are written before old ones go: a reader in between may see a row twice, never none.
    """
    import pyarrow as pa

    uris = list_files(storage, layout)
    keep = find_latest(storage, uris)
    changed = [
        uri
        for uri, mask in zip(uris, keep, strict=True)
        if not mask.all() or uri.rpartition("/")[2].startswith(f"{run_id}-")
    ]
    masks = dict(zip(uris, keep, strict=True))
    held: list[pa.Table] = []
    written: list[str] = []

    def write() -> None:
        uri = layout.manifest_file(f"{run_id}-all", len(written))
        table = pa.concat_tables(held).sort_by(
            [("asset_uri", "ascending"), ("track_index", "ascending"), ("query_name", "ascending")]
        )
        write_table(storage, uri, table)
        written.append(uri)
        held.clear()

    for uri in changed:
        (table,) = read_tables(storage, [uri])
        held.append(table.filter(pa.array(masks[uri])))
        if sum(map(len, held)) >= ROWS_PER_FILE:
            write()
    if sum(map(len, held)):
        write()
    for uri in set(changed) - set(written):
        storage.delete(uri)


def find_latest(storage: Storage, uris: Sequence[str]) -> list[np.ndarray]:
    """Per file, which rows still hold: those of the last commit of their asset and query, unless
    the asset has changed since; each once."""
    columns = ["asset_uri", "asset_etag", "query_name", "track_index", "created_at"]
    tables = list(read_tables(storage, uris, columns))
    if not tables:
        return []
    rows = [row for table in tables for row in table.to_pylist()]
    etag: dict[str, tuple[datetime, str]] = {}
    last: dict[tuple[str, str], datetime] = {}
    for row in rows:
        asset, when = row["asset_uri"], row["created_at"]
        if asset not in etag or etag[asset][0] < when:
            etag[asset] = (when, row["asset_etag"])
        key = (asset, row["query_name"])
        last[key] = when if key not in last else max(last[key], when)
    seen: set[tuple[str, str, int]] = set()
    keep = np.zeros(len(rows), bool)
    for i, row in enumerate(rows):
        asset, query = row["asset_uri"], row["query_name"]
        key = (asset, query, row["track_index"])
        holds = etag[asset][1] == row["asset_etag"] and last[asset, query] == row["created_at"]
        keep[i] = holds and key not in seen
        if keep[i]:
            seen.add(key)
    return np.split(keep, np.cumsum([len(table) for table in tables])[:-1])
