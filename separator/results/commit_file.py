"""Read, merge and write the commit file of an asset.

The commit files are the ledger: the manifest is made of them and can be made of them again.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from separator.errors import ObjectMissing, OutputDamaged
from separator.results.manifest import make_table
from separator.results.record import URIS, is_still_so, pack_json
from separator.results.schema import COLUMNS, Record
from separator.rows import NO_TRACK, WorkItem
from separator.storage import Storage

VERSION = 1
ID = re.compile("[0-9a-f]{32}")  # id of a work item
# Columns that hold a text in every record.
TEXTS = ("asset_uri", "asset_etag", "query_name", "request", "run_id", "error_code", "created_at")


@dataclass(frozen=True)
class CommitFile:
    """Hold what the commit file of an asset says."""

    asset_uri: str = ""
    records: list[Record] = field(default_factory=list)
    obsolete_uris: tuple[str, ...] = ()  # files that no record names: to be deleted


def read_commit_file(storage: Storage, uri: str) -> CommitFile:
    """Read an asset's commit file; return an empty one if the asset has not been committed."""
    try:
        data = storage.read(uri)
    except ObjectMissing:
        return CommitFile()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise OutputDamaged(f"{uri}: is no JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("asset_uri"), str):
        raise OutputDamaged(f"{uri}: names no asset")
    rows, obsolete_uris = content.get("records"), content.get("obsolete", [])
    if not (isinstance(rows, list) and all(map(is_record, rows))):
        raise OutputDamaged(f"{uri}: holds no records")
    if not (isinstance(obsolete_uris, list) and all(isinstance(u, str) for u in obsolete_uris)):
        raise OutputDamaged(f"{uri}: obsolete={obsolete_uris!r:.60} is no list of URIs")
    records = [dict.fromkeys(COLUMNS) | row for row in rows]
    try:  # the manifest takes them as they are
        make_table(records)
    except (ValueError, TypeError, OverflowError) as error:
        raise OutputDamaged(f"{uri}: holds no records: {str(error)!r:.200}") from None
    return CommitFile(content["asset_uri"], records, tuple(obsolete_uris))


def is_record(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("track_index"), int):
        return False
    uris = [row.get(key) for key in URIS]
    has_id = isinstance(row.get("request"), str) and ID.fullmatch(row["request"])
    return (
        bool(has_id)
        and all(isinstance(row.get(key), str) for key in TEXTS)
        and all(uri is None or isinstance(uri, str) for uri in uris)
    )


def pack_commit_file(file: CommitFile) -> bytes:
    """Write the commit file: readable by people, the same bytes for the same rows."""
    rows = sorted(file.records, key=lambda r: (r["track_index"], r["query_name"]))
    content = {"version": VERSION, "asset_uri": file.asset_uri, "records": rows}
    if file.obsolete_uris:
        content["obsolete"] = sorted(file.obsolete_uris)
    return pack_json(content)


def list_uris(records: Iterable[Record]) -> list[str]:
    """List the files that records name."""
    return [r[key] for r in records for key in URIS if r[key]]


def is_made(record: Record) -> bool:
    """Tell whether a record names a result: a mix counts even if its remux has failed."""
    return not record["error_code"] or bool(record["stem_uri"])


def keep_finished(
    old: Sequence[Record], new: Sequence[Record], items: Iterable[WorkItem]
) -> list[Record]:
    """Replace failures of work that an earlier run has finished by the records of that run.

    Finished work of an asset may be done again together with new work. If the asset cannot be read
    this time, the earlier files are still right.
    """
    etag, rows = new[0]["asset_etag"], []
    by_name = {item.name: item for item in items}
    for record in new:
        item = by_name.get(record["query_name"])
        own = [
            r | {"created_at": record["created_at"]}
            for r in old
            if item and r["asset_etag"] == etag and r["query_name"] == item.name
            if r["request"] in item.ids and is_still_so(r, item.threshold)
            if record["track_index"] in (NO_TRACK.index, r["track_index"])
        ]
        rows += own if not is_made(record) and any(map(is_made, own)) else [record]
    return rows


def clear_residuals(
    old: Sequence[Record], new: Sequence[Record], orphan_uris: Iterable[str] = ()
) -> list[Record]:
    """Take the residual out of earlier records of other queries if it was made again: a joint one
    holds something else now. Return these records. `orphan_uris`: new files that no record names.
    """
    etag, names = new[0]["asset_etag"], {record["query_name"] for record in new}
    again = {*orphan_uris, *(record["residual_uri"] for record in new)} - {""}
    others = [r for r in old if r["asset_etag"] == etag and r["query_name"] not in names]
    changed = {r["query_name"] for r in others if r["residual_uri"] in again}
    cleared = dict.fromkeys(("null_error", "residual_similarity")) | {"residual_uri": ""}
    return [
        r | {"created_at": new[0]["created_at"]} | (cleared if r["residual_uri"] in again else {})
        for r in others
        if r["query_name"] in changed
    ]


def merge_records(old: Sequence[Record], new: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Return (the rows of the commit file, URIs of files that no row names any more).

    Rows of an earlier version of the asset are dropped, and rows of a query that was made again. If
    nothing could be made for a query, all rows of its earlier finished work item stay.
    """
    etag, names = new[0]["asset_etag"], {record["query_name"] for record in new}
    made_again = {record["query_name"] for record in new if is_made(record)}
    finished = {r["request"] for r in old if is_made(r) and r["query_name"] not in made_again}
    kept = [
        r
        for r in old
        if r["asset_etag"] == etag
        if r["query_name"] not in names or r["request"] in finished
    ]
    rows = [*kept, *new]
    return rows, sorted(set(list_uris(old)) - set(list_uris(rows)))
