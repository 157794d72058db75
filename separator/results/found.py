"""Read from manifests where queries are heard."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from separator.errors import RequestError
from separator.results.latest import read_again, read_latest, select
from separator.results.manifest import found_nothing, list_entries
from separator.results.paths import Layout, find_common_folder, name_presence
from separator.results.verdicts import read_verdicts
from separator.rows import RENDITION
from separator.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "asset_uri", "asset_etag", "track_index", "kind", "query_name", "query_text", "presence",
    "fingerprint", "frame_rate", "timecode", "created_at", "duration_s",
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


@dataclass(frozen=True)
class Presence:
    """Hold the rows of the stems that a query means in which something has listened."""

    rows: list[dict[str, Any]]  # by asset, track and query
    num_unheard: int  # assets that have such stems, and in which nothing has listened for them
    root_uri: str | None  # the folder that holds all assets of the output, whatever was asked for


@read_again
def read_presence(
    storage: Storage, output_uri: str, query: str = "", verdict: str = ANY
) -> Presence:
    """Read the rows of stems that `query` means (empty: all). If both `run` and `detect` have
    listened, the later result counts, and none of an earlier version of the asset; verdicts are
    about the stem."""
    found: dict[tuple[str, int, str, str], dict[str, Any]] = {}  # the last: version of the asset
    versions: dict[str, list[Any]] = {}  # moment and etag of the newest one of each asset
    names: set[str] = set()
    layouts = [Layout(name_presence(output_uri), ""), Layout(output_uri, "")]
    check_manifests(storage, layouts)
    for layout in layouts:
        for batch in read_latest(storage, layout, COLUMNS):
            moments = batch["created_at"].view("int64").to_pylist()
            uris, etags = batch["asset_uri"].to_pylist(), batch["asset_etag"].to_pylist()
            for uri, *version in zip(uris, moments, etags, strict=True):
                if version[-1]:  # else storage could not look at the asset
                    versions[uri] = max(versions.get(uri, version), version)
            stems = select(batch, find_stems(batch))
            names.update(stems["query_name"].to_pylist())
            for row in select(stems, find_meant(stems, query)).to_pylist():
                key = row["asset_uri"], row["track_index"], row["query_name"], row["asset_etag"]
                found[key] = choose_row(found.get(key), row)
    rows, unheard = [], []
    for key in sorted(found):
        row = found[key]
        is_current = key[-1] == versions.get(key[0], ("",))[-1]
        is_heard = is_current and row.get("presence") is not None
        (rows if is_heard else unheard).append(row)
    if not rows:
        refuse_query(query, output_uri, names, {row["query_name"] for row in unheard})
    num_unheard = len({r["asset_uri"] for r in unheard} - {r["asset_uri"] for r in rows})
    if verdict != ANY:
        known = read_verdicts(storage, layouts[-1])
        given = {fingerprint: each.verdict for fingerprint, each in known.items()}
        rows = [r for r in rows if (given.get(r.get("fingerprint", "")) or UNREVIEWED) == verdict]
    return Presence(rows, num_unheard, find_common_folder(list(versions)))


def choose_row(earlier: dict[str, Any] | None, row: dict[str, Any]) -> dict[str, Any]:
    """Choose of two results for one stem the later one in which something has listened."""
    if earlier is None or earlier.get("presence") is None:
        return row
    if row.get("presence") is None or earlier["created_at"] > row["created_at"]:
        # The output's own rows come last: they have the fingerprints of stems.
        return earlier | {"fingerprint": row.get("fingerprint", "")}
    return row


def refuse_query(query: str, output_uri: str, names: set[str], unheard: set[str]) -> None:
    """Refuse a query for which there is no result. `unheard`: names of queries that it means."""
    if unheard:
        unknown = ", ".join(sorted(unheard)[:MAX_NAMES])
        raise RequestError(
            f"{query or output_uri!r}: nothing has listened for {unknown}: its rows failed, its "
            "words mean nothing to the model, the assets have changed, detect.model was off, or an "
            "early release, which did not listen, made the stems; `separator detect` listens"
        )
    if query:
        raise RequestError(
            f"{query!r}: no query of {output_uri} has that name, or it as a word of its text; "
            f"there are {', '.join(sorted(names - {''})[:MAX_NAMES]) or 'none'}"
        )


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


def find_stems(batch: "pa.RecordBatch") -> list[bool]:
    """Mark the rows of stems. Rows of earlier versions have no kind: all were stems."""
    if "kind" not in batch.schema.names:
        return [True] * len(batch)
    return [kind != RENDITION for kind in batch["kind"].to_pylist()]


def find_meant(batch: "pa.RecordBatch", query: str) -> list[bool]:
    """Mark the rows whose query is meant."""
    texts = batch["query_text"].to_pylist()
    pairs = list(zip(batch["query_name"].to_pylist(), texts, strict=True))
    known = {  # rows share few names and texts
        (name, text): is_meant({"query_name": name, "query_text": text}, query)
        for name, text in set(pairs)
    }
    return [known[pair] for pair in pairs]


def is_meant(row: dict[str, Any], query: str) -> bool:
    """Tell whether a query is the name of a row's query, or whole words of its text: "rain" is in
    "heavy rain" and not in "a train"; a plural may differ."""
    wanted, name, text = map(fold, (query, row["query_name"], row["query_text"] or ""))
    singular = wanted[:-1] if len(wanted) > 2 and wanted.endswith("s") else wanted
    word = rf"{re.escape(singular)}s?"
    return (
        wanted in ("", name)
        or re.fullmatch(word, name) is not None
        or re.search(rf"(?<!\w){word}(?!\w)", text) is not None
    )


def fold(text: str) -> str:
    """Fold case, forms of Unicode and spaces, which queries may write in other ways."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
