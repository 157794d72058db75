"""Read from manifests where queries are heard."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from separator.errors import RequestError
from separator.results.latest import read_again, read_latest
from separator.results.manifest import found_nothing, list_entries
from separator.results.paths import Layout, name_presence
from separator.results.verdicts import read_verdicts
from separator.rows import RENDITION
from separator.storage import Storage

COLUMNS = (
    "asset_uri", "track_index", "kind", "query_name", "query_text", "presence", "fingerprint",
    "frame_rate", "timecode", "created_at", "duration_s",
)  # fmt: skip
ANY, UNREVIEWED = "any", "none"  # choices in addition to the verdicts
MAX_NAMES = 20


@dataclass(frozen=True)
class Found:
    """One stretch of a track in which a query is heard."""

    asset_uri: str
    track: int
    query: str
    start_s: float
    stop_s: float
    score: float


def list_found(rows: Iterable[dict[str, Any]], min_score: float = 0.0) -> Iterator[Found]:
    """List the stretches of the rows that `read_presence` returned."""
    for row in rows:
        for stretch in row["presence"]:
            score = round(stretch["score"], 4)  # as it is shown: 0.7 in float32 is below 0.7
            if score >= min_score:
                yield Found(
                    row["asset_uri"],
                    row["track_index"],
                    row["query_name"],
                    stretch["start_s"],
                    stretch["stop_s"],
                    score,
                )


@read_again
def read_presence(
    storage: Storage, output_uri: str, query: str = "", verdict: str = ANY
) -> list[dict[str, Any]]:
    """Read the rows of stems that `query` means (empty: all), by asset, track and query. If both
    `run` and `detect` have listened, the later result counts; verdicts are about the stem."""
    found: dict[tuple[str, int, str], dict[str, Any]] = {}
    names: set[str] = set()
    unheard: set[str] = set()  # names of queries that `query` means and nothing listened for
    layouts = [Layout(name_presence(output_uri), ""), Layout(output_uri, "")]
    check_manifests(storage, layouts)
    for layout in layouts:
        for batch in read_latest(storage, layout, COLUMNS):
            for row in batch.to_pylist():
                if row.get("kind") == RENDITION:
                    continue
                names.add(name := row["query_name"])
                if not is_meant(row, query):
                    continue
                key = row["asset_uri"], row["track_index"], name
                other = found.get(key)
                if row.get("presence") is None:
                    unheard.add(name)
                elif other is None or other["created_at"] <= row["created_at"]:
                    other = row
                if other is not None:
                    # The output's own rows come last: they have the fingerprints of stems.
                    found[key] = other | {"fingerprint": row.get("fingerprint", "")}
    if not found and unheard:
        unknown = ", ".join(sorted(unheard)[:MAX_NAMES])
        raise RequestError(
            f"{query or output_uri!r}: nothing has listened for {unknown}: its rows failed, its "
            "words mean nothing to the model, or detect.model was off"
        )
    if query and not found:
        raise RequestError(
            f"{query!r}: no query of {output_uri} has that name, or it as a word of its text; "
            f"there are {', '.join(sorted(names - {''})[:MAX_NAMES]) or 'none'}"
        )
    rows = [found[key] for key in sorted(found)]
    if verdict == ANY:
        return rows
    known = read_verdicts(storage, layouts[-1])
    given = {fingerprint: each.verdict for fingerprint, each in known.items()}
    return [row for row in rows if (given.get(row.get("fingerprint", "")) or UNREVIEWED) == verdict]


def check_manifests(storage: Storage, layouts: Sequence[Layout]) -> None:
    """Refuse an output (the last of the layouts) if none of the layouts has a manifest."""
    if any(list_entries(storage, layout) for layout in layouts):
        return
    output_uri = layouts[-1].root_uri
    if found_nothing(storage, layouts):
        raise RequestError(
            f"output.uri={output_uri!r}: the runs so far found no assets; check input.uri and "
            "input.include of the run"
        )
    raise RequestError(
        f"output.uri={output_uri!r}: no manifest there; `separator run` and `separator detect` "
        "write it on their way and at their end"
    )


def is_meant(row: dict[str, Any], query: str) -> bool:
    """Tell whether a query is the name of a row's query, or whole words of its text: "rain" is in
    "heavy rain" and not in "a train"; a plural may differ."""
    wanted = query.casefold().strip()
    if wanted in ("", row["query_name"].casefold()):
        return True
    text = (row["query_text"] or "").casefold()
    return re.search(rf"(?<!\w){re.escape(wanted)}s?(?!\w)", text) is not None
