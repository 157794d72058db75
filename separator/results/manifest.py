"""The manifest: Parquet files of records. What is done by it, and how few files it is kept in."""

import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import ObjectMissing
from separator.results.paths import Layout
from separator.results.record import is_terminal
from separator.results.schema import Record, make_schema
from separator.storage import Entry, Storage

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_FILE = 250_000
ROWS_PER_BATCH = 65_536


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
    return [entry.uri for entry in list_entries(storage, layout)]


def list_entries(storage: Storage, layout: Layout) -> list[Entry]:
    try:
        return list(storage.list(layout.manifest(), ["*.parquet"], recursive=False))
    except ObjectMissing:  # a first run
        return []


def find_done(storage: Storage, layout: Layout, retry_failed: bool) -> np.ndarray:
    """Sorted hashes of the requests that need nothing more: 8 bytes each, so millions fit."""
    done, open_ = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for hashes, codes in read_outcomes(storage, layout):
        names, which = np.unique(codes, return_inverse=True)
        is_done = np.array([is_terminal(name, retry_failed) for name in names], bool)[which]
        done.append(hashes[is_done])
        open_.append(hashes[~is_done])
    return np.setdiff1d(np.concatenate(done), np.concatenate(open_))


def find_failed(storage: Storage, layout: Layout) -> np.ndarray:
    """Sorted hashes of the requests that have failed on any track."""
    failed = [hashes[codes != ""] for hashes, codes in read_outcomes(storage, layout)]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *failed]))


def read_outcomes(storage: Storage, layout: Layout) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(hashes of requests, error codes: empty where all is well), some rows at a time."""
    for uri in list_files(storage, layout):
        for batch in iterate_batches(storage, uri, ["request", "error_code"]):
            requests, codes = batch.columns
            yield hash_requests(requests.to_pylist()), np.array(codes.to_pylist())


def iterate_batches(
    storage: Storage, uri: str, columns: Sequence[str]
) -> "Iterator[pa.RecordBatch]":
    import pyarrow.parquet as pq

    with pq.ParquetFile(io.BytesIO(storage.read(uri))) as file:
        yield from file.iter_batches(ROWS_PER_BATCH, columns=list(columns))


def hash_requests(requests: Sequence[str]) -> np.ndarray:
    return np.array([int(request[:16], 16) for request in requests], np.uint64)


def is_known(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which are among the sorted `known`, in time that hardly grows with them."""
    at = np.searchsorted(known, hashes)
    return known[np.minimum(at, len(known) - 1)] == hashes if len(known) else at < 0


def compact(storage: Storage, layout: Layout, run_id: str) -> None:
    """Few files, and of each asset and query only what was made last.

    New files are written before old ones go: a reader in between may see a row twice, never none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Newest first: of rows that stand in two files the newer file's are kept. Whoever was cut off
    # in the middle of this and goes on to delete then deletes what nobody needs.
    entries = list_entries(storage, layout)
    uris = [e.uri for e in sorted(entries, key=lambda e: (e.modified_at, e.uri), reverse=True)]
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
        table = pq.read_table(io.BytesIO(storage.read(uri)))
        held.append(modernise(table.filter(pa.array(masks[uri]))))
        if sum(map(len, held)) >= ROWS_PER_FILE:
            write()
    if sum(map(len, held)):
        write()
    for uri in set(changed) - set(written):
        storage.delete(uri)


def modernise(table: "pa.Table") -> "pa.Table":
    """With the columns of today: those that came later are null."""
    import pyarrow as pa

    schema = make_schema()
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def find_latest(storage: Storage, uris: Sequence[str]) -> list[np.ndarray]:
    """Per file, which rows still hold: those of the last commit of their asset and query, unless
    the asset has changed since; each once, in the first file that has it. 40 bytes a row are held,
    no texts."""
    parts = [_read_keys(storage, uri) for uri in uris]
    if not parts:
        return []
    asset, etag, query, track, when = np.concatenate(parts, axis=1)
    order = np.lexsort((when, asset))
    latest = order[np.append(asset[order][1:] != asset[order][:-1], True)]  # a row of each asset
    latest_etag = etag[latest[np.searchsorted(asset[latest], asset)]]
    # Each (asset, query): the moment of its last commit, which all rows of it share.
    order = np.lexsort((track, -when, query, asset))
    first = np.append(True, _differs(order, asset, query))
    last_commit = when[order][np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    once = np.append(True, _differs(order, asset, query, track))
    keep = np.zeros(len(asset), bool)
    keep[order] = (when[order] == last_commit) & once
    keep &= etag == latest_etag
    return np.split(keep, np.cumsum([part.shape[1] for part in parts])[:-1])


def _differs(order: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """For each row of `order` but the first, whether it differs from the one before."""
    return np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)


def _read_keys(storage: Storage, uri: str) -> np.ndarray:
    """(5, rows) of int64: asset, etag and query as hashes, track, microseconds."""
    columns = ["asset_uri", "asset_etag", "query_name", "track_index", "created_at"]
    keys = [np.empty((5, 0), np.int64)]
    for batch in iterate_batches(storage, uri, columns):
        *texts, track, when = batch.columns
        hashes = [np.array([hash(t) for t in text.to_pylist()], np.int64) for text in texts]
        keys.append(np.stack([*hashes, track.cast("int64"), when.cast("int64")]))
    return np.concatenate(keys, axis=1)
