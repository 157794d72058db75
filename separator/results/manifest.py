"""Read and write the manifest: Parquet files of records, one row for each work item of a track."""

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import ObjectMissing, OutputDamaged
from separator.machine import release_pages
from separator.results.paths import Layout
from separator.results.schema import Record, make_schema
from separator.storage import Entry, Storage

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_PER_BATCH = 65_536
# Every row has these columns: what it is about, when it was made and what became of it.
KEY_COLUMNS = (
    "asset_uri", "asset_etag", "query_name", "track_index", "created_at", "request", "error_code"
)  # fmt: skip


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
            release_pages()  # the rows of a file take 50 MB, and leave holes in the heap


def make_table(records: Sequence[Record]) -> "pa.Table":
    import pyarrow as pa  # imported here, because the import takes 0.2 s

    rows = [r | {"created_at": datetime.fromisoformat(r["created_at"])} for r in records]
    return pa.Table.from_pylist(rows, schema=make_schema())


def write_table(storage: Storage, uri: str, table: "pa.Table") -> None:
    import pyarrow.parquet as pq

    # Uploaded by our storage: some stores refuse Arrow's own uploads.
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    storage.write(uri, sink.getvalue())


def read_table(storage: Storage, uri: str, mask: np.ndarray) -> "pa.Table":
    """Read the rows that `mask` marks, with today's columns: columns the file lacks are null."""
    import pyarrow as pa

    with open_file(storage, uri) as file:
        table = file.read().filter(pa.array(mask))
    schema = make_schema()
    columns = [
        table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def iterate_batches(
    storage: Storage, uri: str, columns: Sequence[str]
) -> "Iterator[pa.RecordBatch]":
    with open_file(storage, uri) as file:
        yield from file.iter_batches(ROWS_PER_BATCH, columns=list(columns))


@contextlib.contextmanager
def open_file(storage: Storage, uri: str) -> "Iterator[pq.ParquetFile]":
    """Open a file of the manifest; raise OutputDamaged if it is foreign or incomplete."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # imported here, because the import takes 0.2 s

    data = io.BytesIO(storage.read(uri))
    try:
        with pq.ParquetFile(data) as file:
            check_schema(uri, file.schema_arrow)
            yield file
    except (pa.ArrowInvalid, OSError) as error:  # pyarrow raises OSError for damaged pages
        raise OutputDamaged(f"{uri}: {str(error).splitlines()[0]}") from None


def check_schema(uri: str, schema: "pa.Schema") -> None:
    """Refuse a file that another program wrote. Earlier versions may lack a column."""
    ours = make_schema()
    if missing := [name for name in KEY_COLUMNS if name not in schema.names]:
        raise OutputDamaged(f"{uri}: is no manifest, it lacks the column {missing[0]!r}")
    for field in schema:
        if field.name in ours.names and field.type != ours.field(field.name).type:
            raise OutputDamaged(
                f"{uri}: is no manifest, its column {field.name!r} holds {field.type}"
            )


def found_nothing(storage: Storage, layouts: Sequence[Layout]) -> bool:
    """Tell whether outputs lack a manifest because all of their runs ended without an asset."""
    uris = [uri for layout in layouts for uri in list_runs(storage, layout)]
    return bool(uris) and all(_has_no_asset(storage, uri) for uri in uris)


def list_runs(storage: Storage, layout: Layout) -> list[str]:
    """List the files of all runs on an output, the oldest first by the store's clock."""
    try:
        entries = storage.list(layout.runs(), ["*.json"], recursive=False)
        return [e.uri for e in sorted(entries, key=lambda e: (e.modified_at, e.uri))]
    except ObjectMissing:
        return []


def _has_no_asset(storage: Storage, run_uri: str) -> bool:
    """Tell whether a run is over and met no asset, neither to work on nor done before."""
    try:
        content = json.loads(storage.read(run_uri))
        totals = content["totals"]
        met = totals["assets"], totals.get("assets_skipped", 0)
    except ObjectMissing:  # deleted since it was listed
        return False
    except (ValueError, LookupError, TypeError, AttributeError):
        return False  # the file of another program
    return content.get("state") == "finished" and not any(met)


def list_files(storage: Storage, layout: Layout) -> list[str]:
    return [entry.uri for entry in list_entries(storage, layout)]


def list_entries(storage: Storage, layout: Layout) -> list[Entry]:
    try:
        return list(storage.list(layout.manifest(), ["*.parquet"], recursive=False))
    except ObjectMissing:  # no run has written a manifest yet
        return []
