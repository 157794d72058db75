"""The rows that travel through the flow, and the manifest's columns. Nothing here computes.

Rows between stages are plain dicts of numbers, texts and arrays; a column is never None where its
siblings hold something else, because one None turns an Arrow column into pickled objects. Lists and
dicts travel as JSON.
"""

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from separator.errors import SeparatorError

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_VERSION = "1"


class AssetRow(TypedDict):
    """One request: an asset, and what is asked of it."""

    asset_uri: str
    asset_path: str  # below stems/, see layout.py
    asset_etag: str
    asset_bytes: int
    modified_at: str
    queries: str  # JSON: [{"name", "text"}, ...], those still to be done
    tracks: str  # JSON, as in the config
    trouble: str  # why nothing can be done for it, from the list it was named in
    carried: str  # JSON: columns of that list that go into the record as they are


class Row(TypedDict):
    """What every row between stages carries: whose it is, or what went wrong."""

    asset: str  # JSON of the AssetRow
    track: str  # JSON of what the record says of the track
    track_index: int  # -1 where no track was reached
    num_tracks: int  # of this asset in this run; 0 while unknown
    number: int  # of the span in its track
    is_last: bool
    records: str  # JSON: the asset was done before, and this is what became of it
    error_code: str  # set in a failure, which holds no samples
    error_stage: str
    error_detail: str


class SpanRow(Row):
    """A stretch of one track."""

    start: int
    core_start: int
    core_stop: int
    samples: np.ndarray  # (C, T) float32, the context included
    seconds: float  # spent on it in this stage


class StemRow(Row):
    """The separated core of one span for one query, what is left without it, or a mix of both; or
    a failure of all queries of a track."""

    kind: str  # stem, residual or rendition
    query_name: str  # or the rendition's; empty: all of them
    samples: np.ndarray  # (C, T) float32
    null_error: float  # of a residual
    similarity: float  # to the query, of a stem or its residual; NaN where nobody has listened
    energy_in: float  # of the span's core, summed over channels
    extract_s: float
    separate_s: float


class DoneRow(Row):
    """What became of a stem of one span, or of a part of a longer one. No samples any more."""

    kind: str  # as in a StemRow, or remux
    query_name: str
    null_error: float
    similarity: float
    num_channels: int
    num_samples: int
    energy: float  # of the stem, summed over channels
    energy_in: float
    peak: float
    num_clipped: int
    loudness_lufs: float  # of a whole stem, as is the next
    true_peak_dbtp: float
    active_share: float
    stem_uri: str  # empty for a part
    extract_s: float
    separate_s: float
    publish_s: float


def set_error(row: Row, error: SeparatorError, stage: str) -> None:
    row["error_code"], row["error_stage"], row["error_detail"] = error.code, stage, str(error)


def carry(row: Row) -> Row:
    """What the next stage's row has of this one."""
    return Row(**{key: row[key] for key in Row.__annotations__})


Record = dict[str, Any]  # one manifest row, see COLUMNS

# name -> (Arrow type, what it says)
COLUMNS = {
    "run_id": ("string", "the run that made it"),
    "asset_uri": ("string", "where the asset lies"),
    "asset_etag": ("string", "its version"),
    "asset_bytes": ("int64", "its size"),
    "track_index": ("int32", "among its audio streams; -1 where none was reached"),
    "track_language": ("string", "as the file says it"),
    "kind": ("string", "stem or rendition"),
    "query_name": ("string", "the stem's file name, or the rendition's"),
    "query_text": ("string", "what was asked for"),
    "status": ("string", "ok or failed"),
    "error_code": ("string", "stable, see docs/job.md; empty when ok"),
    "error_stage": ("string", "extract, separate, publish or remux"),
    "error_detail": ("string", "one line"),
    "stem_uri": ("string", "where the stem lies"),
    "residual_uri": ("string", "where the track without it lies (joint: without all stems)"),
    "remux_uri": ("string", "of a rendition: the asset with this sound"),
    "null_error": ("float32", "0: stem + residual is the track to the last bit; else how far off"),
    "rate_hz": ("int32", "of the track and its stem; ogg, mp3 and m4a may have to store another"),
    "num_channels": ("int32", "of the stem"),
    "num_samples": ("int64", "per channel"),
    "duration_s": ("float64", "num_samples / rate_hz"),
    "rms_db": ("float32", "of the stem, against full scale; -200 is silence"),
    "peak_db": ("float32", "its largest sample"),
    "loudness_lufs": ("float32", "integrated, EBU R128; -70 is silence"),
    "true_peak_dbtp": ("float32", "between samples too"),
    "active_share": ("float32", "of its 0.1 s stretches, those near its own loudness: where it is"),
    "energy_share": ("float32", "of the stem in the track"),
    "similarity": (
        "float32",
        "to the query, of its loudest seconds, -1 to 1: see docs/job.md",
    ),
    "residual_similarity": ("float32", "the same of the residual: low where nothing was left"),
    "num_clipped": ("int64", "samples that were over full scale"),
    "warning": ("string", "what to know of a stem that is ok"),
    "carried": ("string", "JSON: the columns of the list named by input.carry"),
    "model_name": ("string", "as in the config"),
    "checkpoint_sha256": ("string", "of its weights"),
    "request": ("string", "hash of asset version, query, tracks, checkpoint and settings"),
    "fingerprint": ("string", "the same with the track: what changes a stem changes it"),
    "created_at": ("timestamp[us, tz=UTC]", "when it was committed"),
}


def make_schema() -> "pa.Schema":
    """The manifest's Arrow schema."""
    import pyarrow as pa  # imported here: it costs 0.2 s

    types = {"timestamp[us, tz=UTC]": pa.timestamp("us", "UTC")}
    fields = [
        pa.field(name, types.get(kind) or pa.type_for_alias(kind), metadata={"about": about})
        for name, (kind, about) in COLUMNS.items()
    ]
    return pa.schema(fields, metadata={"manifest_version": MANIFEST_VERSION})
