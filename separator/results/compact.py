"""Compact the manifest: keep the rows of the last commits, in few files.

Runs only add files; rows of an earlier commit stay in them until a compaction removes them.
"""

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from separator.errors import OutputDamaged
from separator.results.latest import find_latest
from separator.results.manifest import read_table, write_table
from separator.results.paths import Layout
from separator.storage import Storage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

log = logging.getLogger(__name__)

ROWS_PER_FILE = 250_000
ORDER = ("asset_uri", "track_index", "query_name")


def compact(
    storage: Storage, layout: Layout, run_id: str, rows_per_file: int = ROWS_PER_FILE
) -> None:
    """Rewrite the files of this run, and all files with superseded rows, as few files.

    New files are written before old ones are deleted: a reader in between may see a row twice,
    but never misses one.
    """
    masks = find_latest(storage, layout)
    changed = [
        uri
        for uri, mask in masks.items()
        if not mask.all() or uri.rpartition("/")[2].startswith(f"{run_id}-")
    ]
    whole: list[str] = []
    tables = merge(read_whole(storage, {uri: masks[uri] for uri in changed}, whole), rows_per_file)
    numbered = (layout.manifest_file(f"{run_id}-all", number) for number in itertools.count())
    unused = (uri for uri in numbered if uri not in masks)
    for table, uri in zip(tables, unused, strict=False):
        write_table(storage, uri, table.sort_by([(name, "ascending") for name in ORDER]))
    for uri in whole:
        storage.delete(uri)


def read_whole(
    storage: Storage, masks: "Mapping[str, np.ndarray]", whole: list[str]
) -> "Iterator[pa.Table]":
    """Yield the rows of each file that its mask marks, and add the file to `whole`; a damaged file
    is logged and stays as it is."""
    for uri, mask in masks.items():
        try:
            table = read_table(storage, uri, mask)
        except OutputDamaged as error:
            log.warning("%s; move it away: the next run brings its rows back", error)
            continue
        whole.append(uri)
        yield table


def merge(tables: "Iterable[pa.Table]", num_rows: int) -> "Iterator[pa.Table]":
    """Join tables into larger ones of at least `num_rows` rows; the last may have fewer, not 0."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= num_rows:
            yield pa.concat_tables(held)
            held = []
    if any(held):
        yield pa.concat_tables(held)
