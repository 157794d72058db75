"""Read and write the manifest: Parquet files of records, one row for each work item of a track."""

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

ROWS_PER_BATCH = 65_536


class ManifestWriter:
    """Collect records and write them to files of one run; call `flush` at the end."""

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

    # Uploaded by our storage: some stores refuse Arrow's own uploads.
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    storage.write(uri, sink.getvalue())


def read_table(storage: Storage, uri: str, mask: np.ndarray) -> "pa.Table":
    """Read the rows that `mask` marks, with today's columns: those the file lacks are null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(storage.read(uri))).filter(pa.array(mask))
    schema = make_schema()
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def iterate_batches(
    storage: Storage, uri: str, columns: Sequence[str]
) -> "Iterator[pa.RecordBatch]":
    import pyarrow.parquet as pq

    with pq.ParquetFile(io.BytesIO(storage.read(uri))) as file:
        yield from file.iter_batches(ROWS_PER_BATCH, columns=list(columns))


def list_files(storage: Storage, layout: Layout) -> list[str]:
    return [entry.uri for entry in list_entries(storage, layout)]


def list_entries(storage: Storage, layout: Layout) -> list[Entry]:
    try:
        return list(storage.list(layout.manifest(), ["*.parquet"], recursive=False))
    except ObjectMissing:  # a first run
        return []


def find_done(storage: Storage, layout: Layout, retry_failed: bool) -> np.ndarray:
    """Return the sorted hashes of the work items that are done on every track.

    8 bytes each, so millions fit.
    """
    done, not_done = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for hashes, error_codes in read_outcomes(storage, layout):
        codes, index = np.unique(error_codes, return_inverse=True)
        is_done = np.array([is_terminal(code, retry_failed) for code in codes], bool)[index]
        done.append(hashes[is_done])
        not_done.append(hashes[~is_done])
    return np.setdiff1d(np.concatenate(done), np.concatenate(not_done))


def find_failed(storage: Storage, layout: Layout) -> np.ndarray:
    """Return the sorted hashes of the work items that failed on any track."""
    failed = [hashes[codes != ""] for hashes, codes in read_outcomes(storage, layout)]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *failed]))


def read_outcomes(storage: Storage, layout: Layout) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (hashes of work items, their error codes: empty if ok), some rows at a time."""
    for uri in list_files(storage, layout):
        for batch in iterate_batches(storage, uri, ["request", "error_code"]):
            requests, codes = batch.columns
            yield hash_requests(requests.to_pylist()), np.array(codes.to_pylist())


def hash_requests(requests: Sequence[str]) -> np.ndarray:
    """Return the first 8 bytes of each work item's id, as an integer."""
    return np.array([int(request[:16], 16) for request in requests], np.uint64)


def is_known(hashes: np.ndarray, done: np.ndarray) -> np.ndarray:
    """Mark the hashes that are among the sorted `done`, by binary search."""
    at = np.searchsorted(done, hashes)
    return done[np.minimum(at, len(done) - 1)] == hashes if len(done) else at < 0
