"""Mark assets whose stems are being made in another way: the manifest may be wrong about them.

A worker writes the mark before it takes records out of a commit file, and the driver deletes it
after the rows of the new records are in the manifest. A run that is killed in between leaves it,
and later runs look into the commit files of marked assets, whatever their settings or input are.
"""

import json
from collections.abc import Iterable

from separator.errors import ObjectMissing
from separator.results.paths import Layout
from separator.results.record import hash_content, pack_json
from separator.storage import Storage


def name_mark(asset_uri: str) -> str:
    return hash_content(asset_uri)


def mark(storage: Storage, layout: Layout, asset_uri: str, query_names: Iterable[str]) -> None:
    """Mark an asset: records of these queries are taken out of its commit file."""
    uri = layout.mark(name_mark(asset_uri))
    _write(storage, uri, asset_uri, {*query_names, *_read(storage, uri)})


def list_marks(storage: Storage, layout: Layout) -> frozenset[str]:
    try:
        found = list(storage.list(layout.marks(), ["*.json"], recursive=False))
    except ObjectMissing:  # none was ever written
        return frozenset()
    return frozenset(entry.uri.rpartition("/")[2].removesuffix(".json") for entry in found)


def unmark(storage: Storage, layout: Layout, asset_uri: str, query_names: Iterable[str]) -> None:
    """Delete the mark of an asset, or keep it for other queries than these."""
    uri = layout.mark(name_mark(asset_uri))
    names = _read(storage, uri)
    if left := names - set(query_names):
        _write(storage, uri, asset_uri, left)
    elif names:
        storage.delete(uri)


def _read(storage: Storage, uri: str) -> set[str]:
    try:
        return set(json.loads(storage.read(uri))["queries"])
    except (ObjectMissing, ValueError, KeyError, TypeError):  # not there, or damaged by hand
        return set()


def _write(storage: Storage, uri: str, asset_uri: str, query_names: set[str]) -> None:
    content = {"asset_uri": asset_uri, "queries": sorted(query_names)}
    storage.write(uri, pack_json(content))
