"""Find the folder of an asset below stems/, and read what its commit file says.

A folder belongs to the asset that its commit file names. Assets of two libraries may have one path:
the one that comes later gets a folder of its own beside the other's.
"""

import functools
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from separator.errors import OutputDamaged
from separator.results.latest import read_latest_tables
from separator.results.paths import Layout, tell_apart
from separator.results.record import (
    URIS,
    CommitFile,
    list_uris,
    pack_commit_file,
    read_commit_file,
)
from separator.results.schema import Record
from separator.rows import REMUX, Asset
from separator.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

OWN_FOLDERS = re.compile(rf"(track-\d+|{REMUX})/")


def find_folder(storage: Storage, layout: Layout, asset: Asset) -> tuple[Asset, CommitFile]:
    """Return the asset with the path of its folder, and the commit file there, empty if none."""
    found = read_folder(storage, layout, asset.path)
    if found.asset_uri not in ("", asset.uri):
        asset = replace(asset, path=tell_apart(asset.path, asset.uri))
        found = read_folder(storage, layout, asset.path)
    own = [record for record in found.records if record["asset_uri"] == asset.uri]
    return asset, CommitFile(asset.uri, own, found.obsolete_uris)


def withdraw(storage: Storage, layout: Layout, asset: Asset, found: CommitFile) -> None:
    """Take the records out of the commit file whose files are about to be made in another way.

    If the run is killed between the first of those files and its commit, no record says that they
    are what they were.
    """
    ids = {item.name: (item.id, item.former_id) for item in asset.items}
    kept, stale = [], []
    for record in found.records:
        is_kept = record["request"] in ids.get(record["query_name"], (record["request"],))
        (kept if is_kept else stale).append(record)
    if uris := list_uris(stale):
        file = CommitFile(asset.uri, kept, (*found.obsolete_uris, *uris))
        storage.write(layout.record(asset.path), pack_commit_file(file))


def read_folder(storage: Storage, layout: Layout, path: str) -> CommitFile:
    """Read a commit file; where it is damaged, take its records from the manifest."""
    try:
        return read_commit_file(storage, layout.record(path))
    except OutputDamaged as error:
        log.warning("%s; its records are taken from the manifest", error)
    folder = layout.folder(path) + "/"
    records = [
        record | {"created_at": record["created_at"].isoformat(timespec="microseconds")}
        for table in read_latest_tables(storage, layout)
        for record in _select_below(table, folder).to_pylist()
        if any(_is_in(record, key, folder) for key in URIS)
    ]
    return CommitFile(records[0]["asset_uri"] if records else "", records)


def _select_below(table: "pa.Table", folder: str) -> "pa.Table":
    """Keep the rows with a file below the folder, before they become Python's: those are large."""
    import pyarrow.compute as pc  # imported here: it costs 0.2 s

    found = [pc.fill_null(pc.starts_with(table[key], folder), False) for key in URIS]  # pyright: ignore
    return table.filter(functools.reduce(pc.or_, found))  # pyright: ignore


def _is_in(record: Record, key: str, folder: str) -> bool:
    uri = record[key] or ""
    return uri.startswith(folder) and bool(OWN_FOLDERS.match(uri.removeprefix(folder)))
