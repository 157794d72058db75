"""Make records. A record says what became of one work item of one track."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from separator.detect.heard import list_presence
from separator.detect.stretches import StretchRule, presence_share
from separator.errors import list_passing_codes
from separator.results.schema import COLUMNS, Record
from separator.rows import (
    STEM,
    Failed,
    Heard,
    Measures,
    PartWritten,
    Remuxed,
    RowOfTrack,
    StemWritten,
    WorkItem,
)
from separator.storage.uri import EPOCH

URIS = ("stem_uri", "residual_uri", "remux_uri")
PASSING = frozenset(list_passing_codes())
OK, ABSENT, FAILED = "ok", "absent", "failed"  # status
SILENCE_DB = -200.0
# One encoder for all: `json.dumps` would make one for each call.
to_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
CLIPPED = "the residual is over full scale and clipped: it misses the track by {:.3g}"


def hash_content(content: Any) -> str:
    """Hash JSON content, whatever the order of its keys."""
    return hash_json(to_json(content))


def hash_json(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def make_fingerprint(item_id: str, track_index: int) -> str:
    return hash_content([item_id, track_index])


@dataclass(frozen=True)
class StemAbsent:
    """No stem was made: the query is heard nowhere in the track, or the run only detects."""

    last: PartWritten  # the last one of its parts
    measures: Measures
    heard: Heard | None


def make_record(
    item: WorkItem,
    file: StemWritten | StemAbsent | Failed,
    residual: StemWritten | Failed | None,
    remuxed: Remuxed | Failed | None,
    shared: Mapping[str, Any],
    rule: StretchRule,
) -> Record:
    """Make the record of a work item of a track. `shared`: columns that are the same in all records
    of a commit. A failure of the residual or of the remuxed file is a failure of the item; if only
    the remux failed, the record still names the mix."""
    row = file.last if isinstance(file, StemAbsent) else file
    for each in (file, residual):
        if isinstance(each, Failed):
            return _make_base(item, row, shared) | _describe_failure(each)
    assert not isinstance(file, Failed) and not isinstance(residual, Failed)
    record = _make_base(item, row, shared) | _measure(file.measures, row.track.rate_hz)
    record |= _describe_presence(file.heard, rule, record["duration_s"])
    if isinstance(file, StemAbsent):
        score = record["presence_score"]  # null: nothing listened
        status = ABSENT if score is not None and score < rule.low else OK
        record |= {"status": status, "decode_warnings": file.last.repairs}
    else:
        record |= {
            "stem_uri": file.uri,
            **_apply_gain(record, file.gain),
            "num_clipped": file.num_clipped,
            "loudness_lufs": file.loudness_lufs,
            "true_peak_dbtp": file.true_peak_dbtp,
            "active_share": file.active_share,
            "decode_warnings": file.repairs,
        }
    if residual is not None:
        if off := residual.measures.null_error:
            notes = [record["warning"], CLIPPED.format(off)]
            record["warning"] = "; ".join(filter(None, notes))
        record |= {
            "residual_uri": residual.uri,
            "null_error": residual.measures.null_error,
            "residual_similarity": _to_value(residual.measures.similarity),
        }
    if isinstance(remuxed, Failed):
        return record | _describe_failure(remuxed)
    if remuxed is not None:
        record["remux_uri"] = remuxed.uri
    return record


def _describe_presence(heard: Heard | None, rule: StretchRule, duration_s: float) -> Record:
    if heard is None:
        return {}
    found = list_presence(heard, rule, duration_s)
    return {
        "presence": [asdict(stretch) for stretch in found],
        "presence_score": heard.score,
        "presence_share": presence_share(found, duration_s),
        "presence_by": heard.by,
    }


def _describe_failure(failed: Failed) -> Record:
    return {
        "status": FAILED,
        "error_code": failed.code,
        "error_stage": failed.stage,
        "error_detail": failed.detail,
    }


def _make_base(item: WorkItem, file: RowOfTrack, shared: Mapping[str, Any]) -> Record:
    """Fill the columns that every record has."""
    asset = file.asset
    return (
        dict.fromkeys(COLUMNS)
        | dict.fromkeys(URIS, "")
        | dict(shared)
        | {
            "asset_uri": asset.uri,
            "asset_etag": asset.etag,
            "asset_bytes": asset.num_bytes,
            "track_index": file.track.index,
            "track_language": file.track.language,
            "track_streams": list(file.track.streams) or None,
            "frame_rate": file.track.picture.partition(" ")[0],
            "timecode": file.track.picture.partition(" ")[2],
            "rate_hz": file.track.rate_hz,
            "kind": item.kind,
            "query_name": item.name,
            "query_text": item.text,
            "query_kind": _name_kind(item),
            "query_source": item.examples_source,
            "status": OK,
            "error_code": "",
            "error_stage": "",
            "error_detail": "",
            "num_samples": 0,
            "num_channels": 0,
            "num_clipped": 0,
            "warning": item.warning,
            "decode_warnings": "",
            "carried": asset.carried or None,
            "request": item.id,
            "fingerprint": make_fingerprint(item.id, file.track.index),
        }
    )


def _name_kind(item: WorkItem) -> str:
    if item.kind != STEM:
        return ""
    return item.examples_kind if item.examples_version else "text"


def _measure(measures: Measures, rate_hz: int) -> Record:
    count = measures.num_samples * measures.num_channels
    return {
        "num_channels": measures.num_channels,
        "num_samples": measures.num_samples,
        "duration_s": measures.num_samples / rate_hz,
        "rms_db": to_db(measures.energy / count if count else 0.0, 10),
        "peak_db": to_db(measures.peak, 20),
        "energy_share": measures.energy / measures.energy_in if measures.energy_in else 0.0,
        "similarity": _to_value(measures.similarity),
    }


def _apply_gain(record: Record, gain: float) -> Record:
    """Shift the levels by the gain of the file against the sound that was separated or mixed."""
    gain_db = to_db(gain, 20)
    levels = {name: record[name] for name in ("rms_db", "peak_db")}
    moved = {name: db + gain_db for name, db in levels.items() if db > SILENCE_DB}
    return {"gain_db": gain_db} | moved


def _to_value(value: float) -> float | None:
    return None if math.isnan(value) else value


def to_db(value: float, factor: float) -> float:
    return max(SILENCE_DB, factor * math.log10(value)) if value > 0 else SILENCE_DB


def make_timestamp(last_commit_us: int = 0) -> str:
    """Make the time of all rows of a commit, by which the manifest orders commits.

    It follows `last_commit_us`, the newest time in the manifest, even if a clock was set back.
    """
    least = EPOCH + timedelta(microseconds=last_commit_us + 1)
    return max(datetime.now(UTC), least).isoformat(timespec="microseconds")


def is_terminal(error_code: str, retry_failed: bool) -> bool:
    """Tell whether nothing is left to do for a row with this error code (empty: it is ok)."""
    return not error_code or (not retry_failed and error_code not in PASSING)


def pack_json(content: Any) -> bytes:
    """Write JSON that people can read, too. Names that are not valid text keep their bytes."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "surrogateescape")


def select_done(
    records: Iterable[Record], items: Iterable[WorkItem], retry_failed: bool
) -> list[Record]:
    """Select the records of all work items; none if anything is left to do for one of them."""
    records, found = list(records), []
    for item in items:
        own = [r for r in records if r["request"] in item.ids and is_still_so(r, item.threshold)]
        if not own or not all(is_terminal(r["error_code"], retry_failed) for r in own):
            return []
        found += own
    return found


def is_still_so(record: Record, threshold: float) -> bool:
    """Tell whether a record holds for a threshold: an absent one does if its score is below it."""
    return record["status"] != ABSENT or (record["presence_score"] or 0.0) < threshold
