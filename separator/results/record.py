"""What became of each (asset, track, query): identity, the commit file of an asset, what is done.

The commit files are the ledger: the manifest is made of them and can be made of them again.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from separator.errors import ObjectMissing, list_passing_codes
from separator.results.schema import COLUMNS, Record
from separator.rows import AssetRow
from separator.storage import Storage

VERSION = 1
URIS = ("stem_uri", "residual_uri", "remux_uri")
PASSING = frozenset(list_passing_codes())


def hash_request(about: Any) -> str:
    """One name for everything that a stem depends on, whatever the order of its keys."""
    text = json.dumps(about, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def hash_stem(request: str, track_index: int) -> str:
    return hash_request([request, track_index])


def is_terminal(error_code: str, retry_failed: bool) -> bool:
    """Whether there is nothing left to do for a row that says this; empty: it is a stem."""
    return not error_code or (not retry_failed and error_code not in PASSING)


def read_record(storage: Storage, uri: str) -> list[Record]:
    """The rows of an asset's commit file; none where it has not been committed."""
    try:
        content = json.loads(storage.read(uri))
    except ObjectMissing:
        return []
    return [dict.fromkeys(COLUMNS) | row for row in content["records"]]


def pack_record(records: Sequence[Record]) -> bytes:
    """The commit file: readable by people, the same bytes for the same rows."""
    rows = sorted(records, key=lambda r: (r["track_index"], r["query_name"]))
    content = {"version": VERSION, "asset_uri": rows[0]["asset_uri"], "records": rows}
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogateescape"
    )


def find_answers(records: Iterable[Record], row: AssetRow, retry_failed: bool) -> list[Record]:
    """The rows that answer all that is asked of an asset; none if anything is left to do."""
    wanted = {query["request"] for query in json.loads(row["queries"])}
    found = [record for record in records if record["request"] in wanted]
    if wanted - {record["request"] for record in found}:
        return []
    return found if all(is_terminal(r["error_code"], retry_failed) for r in found) else []


def list_uris(records: Iterable[Record]) -> list[str]:
    """Of everything that the rows speak of."""
    return [r[key] for r in records for key in URIS if r[key]]


def merge_records(old: Sequence[Record], new: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """(rows of the commit file, URIs of stems that nothing speaks of any more).

    What was made of an earlier version of the asset goes; so does what has been made again.
    """
    etag, names = new[0]["asset_etag"], {record["query_name"] for record in new}
    kept = [r for r in old if r["asset_etag"] == etag and r["query_name"] not in names]
    rows = [*kept, *new]
    return rows, sorted(set(list_uris(old)) - set(list_uris(rows)))
