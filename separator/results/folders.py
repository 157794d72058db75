"""Find the folder of an asset below stems/, and read what its commit file says.

A folder belongs to the asset that its commit file names. Assets of two libraries may have the same
path: the later one gets a folder of its own beside the other's.
"""

import logging
import re
from dataclasses import dataclass, replace

import numpy as np

from separator.errors import OutputDamaged
from separator.results.commit_file import (
    CommitFile,
    list_uris,
    pack_commit_file,
    read_commit_file,
)
from separator.results.latest import find_latest
from separator.results.manifest import list_entries, read_table
from separator.results.paths import Layout, disambiguate
from separator.results.record import URIS
from separator.results.schema import Record
from separator.results.withdrawn import mark
from separator.rows import REMUX, Asset
from separator.storage import Storage

log = logging.getLogger(__name__)

OWN_FILE = re.compile(rf"(.+?)/(?:track-\d+|{REMUX})/")  # after stems/


def find_folder(storage: Storage, layout: Layout, asset: Asset) -> tuple[Asset, CommitFile]:
    """Return the asset with the path of its folder, and the commit file there, empty if none."""
    found = read_folder(storage, layout, asset.path)
    if found.asset_uri not in ("", asset.uri):
        asset = replace(asset, path=disambiguate(asset.path, asset.uri))
        found = read_folder(storage, layout, asset.path)
    own = [record for record in found.records if record["asset_uri"] == asset.uri]
    return asset, CommitFile(asset.uri, own, found.obsolete_uris)


def withdraw(storage: Storage, layout: Layout, asset: Asset, found: CommitFile) -> None:
    """Take out of the commit file the records whose files are about to be made in another way.

    Otherwise, if the run is killed between the first new file and its commit, these records would
    describe files that have changed.
    """
    ids = {item.name: item.ids for item in asset.items}
    kept, stale = [], []
    for record in found.records:
        is_kept = record["request"] in ids.get(record["query_name"], (record["request"],))
        (kept if is_kept else stale).append(record)
    if uris := list_uris(stale):
        mark(storage, layout, asset.uri, {record["query_name"] for record in stale})
        file = CommitFile(asset.uri, kept, (*found.obsolete_uris, *uris))
        storage.write(layout.record(asset.path), pack_commit_file(file))


def read_folder(storage: Storage, layout: Layout, path: str) -> CommitFile:
    """Read a commit file; if it is damaged, take its records from the manifest."""
    try:
        return read_commit_file(storage, layout.record(path))
    except OutputDamaged as error:
        log.warning("%s; its records are taken from the manifest", error)
    records = [
        record | {"created_at": record["created_at"].isoformat(timespec="microseconds")}
        for record in find_places(storage, layout).read(storage, layout.folder(path))
    ]
    return CommitFile(records[0]["asset_uri"] if records else "", records)


@dataclass(frozen=True)
class _Places:
    """Index the current rows of the manifest that name files, by folder: 24 bytes a row."""

    masks: dict[str, np.ndarray]  # of the current rows, by file of the manifest
    folders: np.ndarray  # hash of each row's folder
    files: np.ndarray  # number of the row's file in `masks`
    rows: np.ndarray  # number of the row among the current rows of that file

    def read(self, storage: Storage, folder: str) -> list[Record]:
        """Read the rows that name files of one folder."""
        is_of_folder, found = self.folders == hash(folder), []
        for number, (uri, mask) in enumerate(self.masks.items()):
            rows = self.rows[is_of_folder & (self.files == number)]
            if len(rows):
                found += read_table(storage, uri, mask).take(rows).to_pylist()
        return found


# A cache of this process, by version of the manifest: after a disk was damaged, a worker meets many
# damaged commit files, and reads the whole manifest for the first one only.
_known: dict[tuple[str, ...], _Places] = {}


def find_places(storage: Storage, layout: Layout) -> _Places:
    entries = list_entries(storage, layout)
    version = (layout.root_uri, *(f"{entry.uri} {entry.etag}" for entry in entries))
    if (places := _known.get(version)) is None:
        places = _make_places(storage, layout)
        _known.clear()
        _known[version] = places
    return places


def _make_places(storage: Storage, layout: Layout) -> _Places:
    masks, found = find_latest(storage, layout), []
    for number, (uri, mask) in enumerate(masks.items()):
        table = read_table(storage, uri, mask)
        columns = [table[key].to_pylist() for key in URIS]
        for row, uris in enumerate(zip(*columns, strict=True)):
            folders = [_find_folder_of(layout, each) for each in uris if each]
            found += [(hash(folder), number, row) for folder in dict.fromkeys(folders) if folder]
    return _Places(masks, *np.array(found, np.int64).reshape(-1, 3).T)


def _find_folder_of(layout: Layout, uri: str) -> str:
    """Find the folder of the asset that a file of the output belongs to; empty for other files."""
    top = layout.folder("")
    found = OWN_FILE.match(uri.removeprefix(top)) if uri.startswith(top) else None
    return f"{top}{found[1]}" if found else ""
