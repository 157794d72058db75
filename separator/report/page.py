"""Turn rows of the manifest into the data of the page, and name the files of the site. Pure.

    report/index.html, style.css, *.js     the page itself: package data; addresses get a stamp
    report/data/overview.js                totals, failures, queries, histograms, settings
    report/data/stems.js                   the table
    report/data/verdicts.js                what people have decided about its rows so far
    report/data/asset-<hash>.js            all columns of one asset's rows
    report/previews/...                    sounds and pictures, see previews.py

Data are stored as scripts that pass them to the page, so that the site works from file:// too.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any
from urllib.parse import quote_from_bytes

from separator.report.doubt import list_reasons
from separator.report.previews import list_spans, name_preview, pack_script
from separator.report.sample import Choice
from separator.report.scan import HISTOGRAMS, Scan, hash_text
from separator.results.paths import Layout, decode_path
from separator.results.schema import COLUMNS, Record
from separator.results.verdicts import NEVER, Verdict
from separator.rows import RENDITION, STEM
from separator.run.status import describe_state
from separator.storage import is_within, join_uri, parse_uri

MAX_ROWS_PER_ASSET = 200  # in the table; the most doubtful rows are kept
SHOWN_QUERIES = 100  # in the overview
# Fields of a row of the table, in this order.
FIELDS = (
    "id", "asset", "track", "language", "kind", "query", "status", "doubt", "reasons", "score",
    "share", "spans", "loudness", "energy", "similarity", "duration", "preview", "error",
)  # fmt: skip
SITE = files("separator.report") / "site"


class ReportLayout:
    """The names of a report's files, below `report/` of an output."""

    def __init__(self, layout: Layout) -> None:
        self.root_uri = join_uri(layout.root_uri, "report")
        self.output_uri = layout.root_uri

    def page(self) -> str:
        return join_uri(self.root_uri, "index.html")

    def file(self, name: str) -> str:
        return join_uri(self.root_uri, name)

    def data(self, name: str) -> str:
        return join_uri(self.root_uri, "data", f"{name}.js")

    def data_folder(self) -> str:
        return join_uri(self.root_uri, "data")

    def previews(self) -> str:
        return join_uri(self.root_uri, "previews")

    def link(self, uri: str) -> str:
        """Return the relative link from the page to a file of the output; empty for other files."""
        if not uri or not is_within(uri, self.output_uri):
            return ""
        key, root = parse_uri(uri).key, parse_uri(self.output_uri).key.rstrip("/")
        path = key.removeprefix(root).lstrip("/") if root else key
        return "../" + quote_from_bytes(os.fsencode(path))


def list_site_files() -> dict[str, bytes]:
    """Read the files of the page itself, by name."""
    return {each.name: each.read_bytes() for each in SITE.iterdir() if each.is_file()}


def stamp_addresses(page: bytes, stamp: str) -> bytes:
    """Add a stamp to the addresses of scripts and styles. Browsers keep what a server sends,
    for days, so each report has a stamp of its own. Scripts read it from the address of core.js."""
    return re.sub(rb'"([\w/]+\.(?:js|css))"', rb'"\1?v=%s"' % stamp.encode(), page)


def name_asset(uri: str) -> str:
    return f"asset-{hash_text(uri) & (1 << 64) - 1:016x}"


def sort_rows(rows: Iterable[Record], doubts: Iterable[float]) -> list[tuple[Record, float]]:
    """Sort rows by doubt, the most doubtful first; those without a doubt come last, by name."""

    def make_key(pair: tuple[Record, float]) -> tuple[Any, ...]:
        row, doubt = pair
        rank = math.inf if math.isnan(doubt) else -doubt
        return rank, row["asset_uri"], row["track_index"], row["query_name"]

    return sorted(zip(rows, doubts, strict=True), key=make_key)


def limit_rows(pairs: Sequence[tuple[Record, float, int]]) -> list[tuple[Record, float, int]]:
    """Keep at most MAX_ROWS_PER_ASSET of each asset; `pairs` are sorted by doubt."""
    counts: dict[str, int] = {}
    kept = []
    for each in pairs:
        uri = each[0]["asset_uri"]
        counts[uri] = counts.get(uri, 0) + 1
        if counts[uri] <= MAX_ROWS_PER_ASSET:
            kept.append(each)
    return kept


def make_stems(
    rows: Sequence[tuple[Record, float, int]], troubles: Mapping[str, str], root_uri: str
) -> dict[str, Any]:
    """Make the table: rows as lists in the order of FIELDS, assets and queries by number. A name
    with several texts (assets may have queries of their own) counts as several queries.

    `rows`: (row, doubt, bits of its reasons); `troubles`: by name of a preview, why it is missing,
    or an empty text.
    """
    assets = list(dict.fromkeys(row["asset_uri"] for row, _, _ in rows))
    asked = [(row["query_name"], row["query_text"] or "") for row, _, _ in rows]
    queries = list(dict.fromkeys(asked))
    asset_number = {uri: number for number, uri in enumerate(assets)}
    query_number = {query: number for number, query in enumerate(queries)}
    table = []
    for (row, doubt, bits), query in zip(rows, asked, strict=True):
        name = name_preview(row)
        values = {
            "id": row["fingerprint"],
            "asset": asset_number[row["asset_uri"]],
            "track": row["track_index"],
            "language": row["track_language"] or "",
            "kind": row["kind"] or STEM,
            "query": query_number[query],
            "status": row["status"],
            "doubt": to_number(doubt, 3),
            "reasons": list_reasons(bits),
            "score": to_number(row.get("presence_score")),
            "share": to_number(row.get("presence_share")),
            "spans": list_spans(row),
            "loudness": to_number(row["loudness_lufs"]),
            "energy": to_number(row["energy_share"]),
            "similarity": to_number(row["similarity"]),
            "duration": to_number(row["duration_s"], 6),
            "preview": f"{name_asset(row['asset_uri'])}/{name}"
            if troubles.get(name) == ""
            else None,
            "error": describe_failure(row) or troubles.get(name, ""),
        }
        table.append([values[field] for field in FIELDS])
    return {
        "fields": FIELDS,
        "assets": [[uri, show_path(uri, root_uri), name_asset(uri)] for uri in assets],
        "queries": queries,
        "rows": table,
    }


def describe_failure(row: Record) -> str:
    return ": ".join(filter(None, (row["error_code"], row["error_detail"])))


def show_path(uri: str, root_uri: str) -> str:
    """Return an asset's path below the library; its whole URI if it is stored elsewhere."""
    path, folder = decode_path(uri), decode_path(root_uri).rstrip("/") + "/"
    return path.removeprefix(folder) if root_uri and path.startswith(folder) else uri


def make_asset(rows: Sequence[Record], layout: ReportLayout) -> dict[str, Any]:
    """Make what the panel of an asset shows: all columns of its rows, and links to its files."""
    found = {}
    for row in rows:
        columns = {name: to_json(row[name]) for name in row if row[name] not in (None, "")}
        links = {
            name: layout.link(row[f"{name}_uri"] or "") for name in ("stem", "residual", "remux")
        }
        found[row["fingerprint"]] = {
            "columns": columns,
            "links": {name: link for name, link in links.items() if link},
        }
    return {"uri": rows[0]["asset_uri"], "rows": found}


def make_verdicts(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Make the verdicts as the page itself saves them, always with the times of both fields."""

    def show_time(each: Verdict, name: str) -> str:
        at = each.tell_time(name)
        return "" if at == NEVER else at.isoformat()

    rows = [
        {
            "fingerprint": each.fingerprint,
            "verdict": each.verdict,
            "note": each.note,
            "reviewer": each.reviewer,
            "reviewed_at": each.reviewed_at.isoformat(),
            "verdict_at": show_time(each, "verdict"),
            "note_at": show_time(each, "note"),
        }
        for each in verdicts
    ]
    return {"rows": rows}


def make_overview(
    scan: Scan,
    choice: Choice,
    num_rows: int,
    output_uri: str,
    run: dict[str, Any] | None,
) -> dict[str, Any]:
    """Make the overview. `num_rows`: rows of the table; `run`: the newest run file."""
    ranked = sorted(scan.queries.items(), key=lambda item: (-item[1].rows.total(), item[0]))
    queries = [
        {
            "name": name,
            "text": count.text,
            "kind": count.kind,
            "rows": dict(count.rows),
            "seconds": round(count.seconds, 1),
            "share": to_number(count.share_sum / count.num_shares) if count.num_shares else None,
        }
        for name, count in ranked[:SHOWN_QUERIES]
    ]
    kinds = Counter(count.kind for count in scan.queries.values())
    return {
        "output": output_uri,
        "assets": scan.num_assets,
        "failed_assets": scan.num_failed_assets,
        "tracks": scan.num_tracks,
        "audio_s": round(scan.audio_s, 1),
        "rows": [[*key, number] for key, number in sorted(scan.rows.items()) if number],
        "failures": [
            {"code": code, "rows": number, "examples": scan.examples.get(code, [])}
            for code, number in scan.failures.most_common()
        ],
        "queries": queries,
        "num_queries": kinds[STEM],
        "num_renditions": kinds[RENDITION],
        "histograms": make_histograms(scan),
        "chosen": {
            "assets": len(choice.assets),
            "by_doubt": choice.num_by_doubt,
            "at_random": choice.num_at_random,
            "rows": num_rows,
        },
        "columns": {name: about for name, (_, about) in COLUMNS.items()},
        "run": describe_run(run) if run else None,
    }


def make_histograms(scan: Scan) -> list[dict[str, Any]]:
    """Make the histograms of all columns that were measured at least once."""
    found = []
    for column, (low, high, unit) in HISTOGRAMS.items():
        counts = scan.histograms.get(column)
        if counts is not None and counts.sum():
            about = {"column": column, "low": low, "high": high, "unit": unit}
            found.append(about | {"counts": [int(each) for each in counts]})
    return found


def describe_run(run: dict[str, Any]) -> dict[str, Any]:
    """Select the parts of a run file that the page shows."""
    keys = ("run_id", "written_at", "config", "versions", "machine", "precision", "commit")
    return {key: run[key] for key in keys if key in run} | {
        "state": describe_state(run),
        "seconds": run["totals"].get("seconds"),
        "weights": run.get("weights"),
    }


def to_number(value: float | None, digits: int = 4) -> float | None:
    """Round to so many significant digits; None for NaN and infinity, which JSON does not have."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, float):
        return to_number(value, 6)
    if isinstance(value, list):
        return [to_json(each) for each in value]
    if isinstance(value, dict):
        return {key: to_json(each) for key, each in value.items()}
    return value


def pack_data(name: str, content: Mapping[str, Any]) -> bytes:
    return pack_script("data", name, content)
