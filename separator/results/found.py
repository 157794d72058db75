"""Read from manifests where queries are heard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from separator.errors import RequestError
from separator.results.latest import read_latest
from separator.results.manifest import list_entries
from separator.results.paths import Layout, name_presence
from separator.storage import Storage

COLUMNS = (
    "asset_uri", "track_index", "query_name", "query_text", "status", "error_code", "presence",
    "presence_score", "duration_s", "fingerprint", "frame_rate", "timecode",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """One stretch of a track in which a query is heard."""

    asset_uri: str
    track: int
    query: str
    start_s: float
    stop_s: float
    score: float


def find_stretches_of(
    storage: Storage, output_uri: str, query: str = "", min_score: float = 0.0
) -> Iterator[Found]:
    """List stretches by asset, track, query and time, those of `detect` where `run` has none."""
    rows = read_presence(storage, output_uri, query)
    if query and not rows:
        raise RequestError(f"{query!r}: no query of {output_uri} has that name or text")
    for row in rows:
        for stretch in row["presence"] or ():
            if stretch["score"] >= min_score:
                yield Found(
                    row["asset_uri"],
                    row["track_index"],
                    row["query_name"],
                    stretch["start_s"],
                    stretch["stop_s"],
                    round(stretch["score"], 4),
                )


def read_presence(storage: Storage, output_uri: str, query: str = "") -> list[dict[str, Any]]:
    """Read the rows of stems whose query is meant, in order; of equal ones those of `run`."""
    found: dict[tuple[str, int, str], dict[str, Any]] = {}
    layouts = [Layout(name_presence(output_uri), ""), Layout(output_uri, "")]
    if not any(list_entries(storage, layout) for layout in layouts):
        raise RequestError(
            f"output.uri={output_uri!r}: no manifest there; start with `separator run` or "
            "`separator detect`"
        )
    for layout in layouts:
        for batch in read_latest(storage, layout, COLUMNS):
            for row in batch.to_pylist():
                if row.get("presence") is not None and is_meant(row, query):
                    found[row["asset_uri"], row["track_index"], row["query_name"]] = row
    return [found[key] for key in sorted(found)]


def is_meant(row: dict[str, Any], query: str) -> bool:
    wanted = query.casefold()
    return wanted == row["query_name"].casefold() or wanted in (row["query_text"] or "").casefold()
