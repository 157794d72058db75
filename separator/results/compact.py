"""Compact the manifest: keep the rows of the last commits, in few files.

Runs only add files. Rows of an earlier commit stay in them until a compaction removes them, and
`read_latest` leaves them out until then.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from separator.results.manifest import iterate_batches, list_entries, read_table, write_table
from separator.results.paths import Layout
from separator.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_FILE = 250_000
ORDER = ("asset_uri", "track_index", "query_name")


class Keys(NamedTuple):
    """Hold the columns that decide which rows are kept, as int64: 40 bytes a row, no texts."""

    asset: np.ndarray  # hash of the asset's URI
    etag: np.ndarray  # hash of the asset's version
    item: np.ndarray  # hash of (asset, query)
    track: np.ndarray  # hash of (asset, query, track)
    created_at: np.ndarray  # microseconds; all rows of one commit share it


def select_latest(keys: Keys) -> np.ndarray:
    """Mark the rows of the last commits, each once.

    A row is kept if its etag is the newest one of its asset, if no later commit holds its asset
    and query, and if it is the first of equal rows.
    """
    newest_first = np.argsort(-keys.created_at, kind="stable")
    newest_etag = keys.etag[find_newest(keys.asset, newest_first)]
    last_commit = keys.created_at[find_newest(keys.item, newest_first)]
    is_kept = (keys.etag == newest_etag) & (keys.created_at == last_commit)
    return is_kept & (find_newest(keys.track, newest_first) == np.arange(len(is_kept)))


def find_newest(groups: np.ndarray, newest_first: np.ndarray) -> np.ndarray:
    """Return for each row the index of the newest row of its group."""
    _, first, group = np.unique(groups[newest_first], return_index=True, return_inverse=True)
    newest = np.empty_like(newest_first)
    newest[newest_first] = newest_first[first[group]]
    return newest


def find_latest(storage: Storage, layout: Layout) -> dict[str, np.ndarray]:
    """Return for each file of the manifest the mask of its rows of the last commits.

    Files come newest first: of equal rows in two files, the newer file's is kept. A compaction
    that was overtaken by another one then only deletes rows that stand in a newer file too.
    """
    entries = sorted(
        list_entries(storage, layout), key=lambda e: (e.modified_at, e.uri), reverse=True
    )
    parts = [read_keys(storage, entry.uri) for entry in entries]
    if not parts:
        return {}
    ends = np.cumsum([part.shape[1] for part in parts])
    keys = np.concatenate(parts, axis=1)
    del parts  # as large again
    masks = np.split(select_latest(Keys(*keys)), ends[:-1])
    return dict(zip((entry.uri for entry in entries), masks, strict=True))


def read_keys(storage: Storage, uri: str) -> np.ndarray:
    """Read the `Keys` of one file as an array (5, rows)."""
    parts = [np.empty((len(Keys._fields), 0), np.int64)]
    columns = ["asset_uri", "asset_etag", "query_name", "track_index", "created_at"]
    for batch in iterate_batches(storage, uri, columns):
        assets, etags, queries, tracks = (batch[name].to_pylist() for name in columns[:-1])
        items = zip(assets, queries, strict=True)
        item_tracks = zip(assets, queries, tracks, strict=True)
        groups = (assets, etags, items, item_tracks)
        hashes = [np.fromiter(map(hash, group), np.int64, len(batch)) for group in groups]
        parts.append(np.stack([*hashes, batch["created_at"].cast("int64").to_numpy()]))
    return np.concatenate(parts, axis=1)


def read_latest(storage: Storage, layout: Layout) -> "Iterator[pa.Table]":
    """Yield the rows of the last commits, one file of the manifest at a time."""
    for uri, mask in find_latest(storage, layout).items():
        yield read_table(storage, uri, mask)


def compact(
    storage: Storage, layout: Layout, run_id: str, rows_per_file: int = ROWS_PER_FILE
) -> None:
    """Write the files of this run, and all with superseded rows, again as few files.

    New files are written before old ones are deleted: a reader in between may see a row twice,
    but never misses one.
    """
    masks = find_latest(storage, layout)
    changed = [
        uri
        for uri, mask in masks.items()
        if not mask.all() or uri.rpartition("/")[2].startswith(f"{run_id}-")
    ]
    tables = merge((read_table(storage, uri, masks[uri]) for uri in changed), rows_per_file)
    numbered = (layout.manifest_file(f"{run_id}-all", number) for number in itertools.count())
    unused = (uri for uri in numbered if uri not in masks)
    for table, uri in zip(tables, unused, strict=False):
        write_table(storage, uri, table.sort_by([(name, "ascending") for name in ORDER]))
    for uri in changed:
        storage.delete(uri)


def merge(tables: "Iterable[pa.Table]", num_rows: int) -> "Iterator[pa.Table]":
    """Join tables into some of at least `num_rows` rows each, the last one excepted; none empty."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= num_rows:
            yield pa.concat_tables(held)
            held = []
    if any(held):
        yield pa.concat_tables(held)
