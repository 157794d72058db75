"""Name the columns of a data set: those of the manifest, and what an export adds."""

from datetime import datetime
from typing import Any

from separator.results.schema import COLUMNS

ADDED = {
    "licence": ("string", "of the asset, from the job's list"),
    "cut_start_s": ("float64", "of a stretch of a stem: where it begins in the track"),
    "cut_stop_s": ("float64", "where it stops"),
}
EXPORTED = COLUMNS | ADDED
STRETCH = (("start_s", "float64"), ("stop_s", "float64"), ("score", "float32"))  # of `presence`


def find_listed(kind: str) -> str:
    """Return the type of a list's values; an empty text for types that are no list."""
    return kind.removeprefix("list<").removesuffix(">") if kind.startswith("list<") else ""


def to_json(row: dict[str, Any]) -> dict[str, Any]:
    """Make a row fit for JSON.

    `carried` stays a text: its keys may differ from row to row, and loaders take the first row's.
    """
    return row | {k: v.isoformat() for k, v in row.items() if isinstance(v, datetime)}
