"""Rows of finished work in, records out: knows when a stem has all its parts and an asset all its
stems. Pure bookkeeping: it neither reads nor writes, and holds only assets that are under way."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from separator.audio.renditions import JOINT, REMUX, RENDITION, RESIDUAL
from separator.results.record import URIS, hash_stem, list_uris
from separator.results.schema import COLUMNS, Record
from separator.rows import DoneRow

SILENCE_DB = -200.0
SUMMED = ("num_samples", "energy", "energy_in")
TOLD = ("extract_s", "separate_s", "publish_s")  # by the parts themselves


Key = tuple[int, str, str]  # track, kind, name


@dataclass
class _Stem:
    """The parts of one stem that have come in."""

    parts: dict[int, DoneRow] = field(default_factory=dict)
    last: int | None = None

    def add(self, row: DoneRow) -> None:
        # A worker that died and was replaced may bring a part twice; it is the same part.
        self.parts[row["number"]] = row
        if row["is_last"]:
            self.last = row["number"]

    @property
    def is_whole(self) -> bool:
        return self.last is not None and len(self.parts) == self.last + 1

    def sum_up(self) -> DoneRow:
        """One row for all: the figures of the whole stem."""
        rows = [self.parts[number] for number in sorted(self.parts)]
        total: Any = dict(rows[-1])
        total |= {key: sum(row[key] for row in rows) for key in SUMMED}
        total |= dict.fromkeys(TOLD, 0.0)
        total["similarity"] = weigh([row["similarity"] for row in rows], rows)
        for key in ("peak", "null_error"):
            total[key] = max(row[key] for row in rows)
        return total


@dataclass
class _Asset:
    stems: dict[Key, _Stem] = field(default_factory=dict)
    done: dict[Key, DoneRow] = field(default_factory=dict)
    failed: dict[int, DoneRow] = field(default_factory=dict)  # by track; -1 is the whole asset
    remuxed: dict[str, DoneRow | None] = field(default_factory=dict)  # by rendition; None: asked


class Ledger:
    """`add` takes rows in any order and says what is to be done next."""

    def __init__(
        self, about: Mapping[str, Any], residual: str = "none", remux: bool = False
    ) -> None:
        """`about`: columns that are the same in every record of a run."""
        self.about, self.residual, self.remux = dict(about), residual, remux
        self.open: dict[str, _Asset] = {}
        self.closed: set[int] = set()  # hashes of assets that have been handed out
        self.orphans: dict[str, list[str]] = {}  # by asset: URIs that no record names

    def add(self, row: DoneRow) -> tuple[DoneRow | None, list[Record] | None]:
        """(what is to be assembled or remuxed, records of an asset that is now complete)."""
        uri = json.loads(row["asset"])["asset_uri"]
        if hash(uri) in self.closed:
            return None, None
        asset = self.open.setdefault(uri, _Asset())
        if row["records"]:
            return None, self._close(uri, json.loads(row["records"]))
        key = (row["track_index"], row["kind"], row["query_name"])
        if row["kind"] == REMUX:
            asset.remuxed[row["query_name"]] = row
        elif row["error_code"] and not row["query_name"]:
            asset.failed[row["track_index"]] = row
        elif row["error_code"] or row["stem_uri"]:
            asset.done[key] = row
        else:
            stem = asset.stems.setdefault(key, _Stem())
            stem.add(row)
            if stem.is_whole:
                return stem.sum_up(), None
        return self._find_complete(uri, row)

    def forget_open(self) -> None:
        """What has not come out is made afresh: nothing of it is under way any more."""
        self.open.clear()

    def _find_complete(self, uri: str, row: DoneRow) -> tuple[DoneRow | None, list[Record] | None]:
        asset, queries = self.open[uri], json.loads(json.loads(row["asset"])["queries"])
        now = make_timestamp()
        if -1 in asset.failed:
            failed = asset.failed[-1]
            records = [self._make_record(failed, query, now) for query in queries]
            return None, self._close(uri, records)
        whole = sorted({key[0] for key in asset.done} | set(asset.failed))
        if len(whole) < row["num_tracks"]:
            return None, None
        records = []
        for index in whole:
            for query in queries:
                found, rest = self._find(asset, index, query)
                if found is None:
                    return None, None
                records.append(self._make_record(found, query, now, rest))
        for query in queries if self.remux else ():
            if query["kind"] == RENDITION and not asset.failed:
                name = query["name"]
                parts = [asset.done[index, RENDITION, name] for index in whole]
                if name not in asset.remuxed and not any(part["error_code"] for part in parts):
                    asset.remuxed[name] = None
                    return make_remux_row(parts[0], whole), None
                if name in asset.remuxed and asset.remuxed[name] is None:
                    return None, None  # under way
        return None, self._close(uri, records)

    def _find(
        self, asset: _Asset, index: int, query: dict[str, str]
    ) -> tuple[DoneRow | None, DoneRow | None]:
        """(the row of a stem or a mix, if all of it is there; the one that it is made with)."""
        if failed := asset.failed.get(index):
            return failed, None
        found = asset.done.get((index, query["kind"], query["name"]))
        if query["kind"] == RENDITION:
            return found, asset.remuxed.get(query["name"])
        if self.residual == "none":
            return found, None
        name = query["name"] if self.residual == "per_query" else JOINT
        rest = asset.done.get((index, RESIDUAL, name))
        return (found, rest) if rest is not None else (None, None)

    def _close(self, uri: str, records: list[Record]) -> list[Record]:
        asset = self.open.pop(uri)
        self.closed.add(hash(uri))
        rows = [*asset.done.values(), *asset.remuxed.values()]
        written = {row["stem_uri"] for row in rows if row and row["stem_uri"]}
        if written and (orphans := written - set(list_uris(records))):
            self.orphans[uri] = sorted(orphans)
        return records

    def _make_record(
        self, row: DoneRow, query: dict[str, str], now: str, other: DoneRow | None = None
    ) -> Record:
        """`other`: of its residual or remux; where that has failed it has failed, too."""
        if other is not None and other["error_code"] and not row["error_code"]:
            blamed = ("error_code", "error_stage", "error_detail")
            row = DoneRow(**(row | {key: other[key] for key in blamed}))  # pyright: ignore
        rest = other if other is not None and other["kind"] == RESIDUAL else None
        film = other if other is not None and other["kind"] == REMUX else None
        asset, track = json.loads(row["asset"]), json.loads(row["track"])
        record = dict.fromkeys(COLUMNS) | self.about
        record |= {
            "asset_uri": asset["asset_uri"],
            "asset_etag": asset["asset_etag"],
            "asset_bytes": asset["asset_bytes"],
            "track_index": row["track_index"],
            "track_language": track.get("language") or "",
            "kind": query["kind"],
            "query_name": query["name"],
            "query_text": query["text"],
            "status": "failed" if row["error_code"] else "ok",
            "error_code": row["error_code"],
            "error_stage": row["error_stage"],
            "error_detail": row["error_detail"],
            "stem_uri": row["stem_uri"],
            "residual_uri": rest["stem_uri"] if rest is not None else "",
            "rate_hz": track.get("rate_hz", 0),
            "num_channels": row["num_channels"],
            "remux_uri": film["stem_uri"] if film is not None else "",
            "num_samples": row["num_samples"],
            "num_clipped": row["num_clipped"],
            "warning": query.get("warning", ""),
            "carried": asset["carried"],
            "request": query["request"],
            "fingerprint": hash_stem(query["request"], row["track_index"]),
            "created_at": now,
        }
        if row["error_code"]:
            return record | dict.fromkeys(URIS, "") | {"num_samples": 0, "num_channels": 0}
        count = row["num_samples"] * row["num_channels"]
        return record | {
            "null_error": rest["null_error"] if rest is not None else None,
            "duration_s": row["num_samples"] / track["rate_hz"],
            "rms_db": to_db(row["energy"] / count, 10),
            "peak_db": to_db(row["peak"], 20),
            "loudness_lufs": row["loudness_lufs"],
            "true_peak_dbtp": row["true_peak_dbtp"],
            "active_share": row["active_share"],
            "similarity": to_value(row["similarity"]),
            "residual_similarity": to_value(rest["similarity"]) if rest is not None else None,
            "energy_share": row["energy"] / row["energy_in"] if row["energy_in"] else 0.0,
        }


def make_remux_row(part: DoneRow, indexes: list[int]) -> DoneRow:
    """Of all tracks of an asset: what is to be done, as the row that tells of it afterwards."""
    row: Any = dict(part) | dict.fromkeys(TOLD, 0.0)
    about = json.dumps({"indexes": indexes})
    return row | {"kind": REMUX, "track_index": -1, "track": about, "stem_uri": ""}


def make_timestamp() -> str:
    """One for all rows of a commit: the manifest tells later ones from earlier ones by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def weigh(values: list[float], rows: list[DoneRow]) -> float:
    """The mean over spans by their energy; of what is silent nothing is known."""
    pairs = [(v, row["energy"]) for v, row in zip(values, rows, strict=True) if not math.isnan(v)]
    total = sum(energy for _, energy in pairs)
    return sum(value * energy for value, energy in pairs) / total if total else math.nan


def to_value(value: float) -> float | None:
    return None if math.isnan(value) else value


def to_db(value: float, factor: float) -> float:
    return max(SILENCE_DB, factor * math.log10(value)) if value > 0 else SILENCE_DB
