"""The rows that travel through the flow, and the manifest's columns. Nothing here computes.

Rows between stages are plain dicts of numbers, texts and arrays; a column is never None where its
siblings hold something else, because one None turns an Arrow column into pickled objects. Lists and
dicts travel as JSON.
"""

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

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


class SpanRow(TypedDict):
    """A stretch of one track, or a failure: then `error_code` is set and there are no samples."""

    asset: str  # JSON of the AssetRow
    track: str  # JSON of what the record says of the track
    track_index: int  # -1 where no track was reached
    num_tracks: int  # of this asset in this run; 0 while unknown
    number: int  # of the span in its track
    is_last: bool
    start: int
    core_start: int
    core_stop: int
    samples: np.ndarray  # (C, T) float32, the context included
    records: str  # JSON: the asset was done before, and this is what became of it
    error_code: str
    error_stage: str
    error_detail: str
    seconds: float  # spent on it in this stage


class StemRow(TypedDict):
    """The separated core of one span for one query, or a failure of all queries of a track."""

    asset: str
    track: str
    track_index: int
    num_tracks: int
    query_name: str  # empty: all of them
    number: int
    is_last: bool
    samples: np.ndarray  # (C, T) float32
    energy_in: float  # of the span's core, summed over channels
    records: str
    error_code: str
    error_stage: str
    error_detail: str
    extract_s: float
    separate_s: float


class DoneRow(TypedDict):
    """What became of a stem of one span, or of a part of a longer one. No samples any more."""

    asset: str
    track: str
    track_index: int
    num_tracks: int
    query_name: str
    number: int
    is_last: bool
    num_channels: int
    num_samples: int
    energy: float  # of the stem, summed over channels
    energy_in: float
    peak: float
    num_clipped: int
    stem_uri: str  # empty for a part
    records: str
    error_code: str
    error_stage: str
    error_detail: str
    extract_s: float
    separate_s: float
    publish_s: float


Record = dict[str, Any]  # one manifest row, see COLUMNS

# name -> (Arrow type, what it says)
COLUMNS = {
    "run_id": ("string", "the run that made it"),
    "asset_uri": ("string", "where the asset lies"),
    "asset_etag": ("string", "its version"),
    "asset_bytes": ("int64", "its size"),
    "track_index": ("int32", "among its audio streams; -1 where none was reached"),
    "track_language": ("string", "as the file says it"),
    "query_name": ("string", "the stem's file name"),
    "query_text": ("string", "what was asked for"),
    "status": ("string", "ok or failed"),
    "error_code": ("string", "stable, see docs/job.md; empty when ok"),
    "error_stage": ("string", "extract, separate or publish"),
    "error_detail": ("string", "one line"),
    "stem_uri": ("string", "where the stem lies"),
    "residual_uri": ("string", "where the rest lies"),
    "rate_hz": ("int32", "of the stem: the track's own"),
    "num_channels": ("int32", "of the stem"),
    "num_samples": ("int64", "per channel"),
    "duration_s": ("float64", "num_samples / rate_hz"),
    "rms_db": ("float32", "of the stem, against full scale; -200 is silence"),
    "peak_db": ("float32", "its largest sample"),
    "energy_share": ("float32", "of the stem in the track"),
    "num_clipped": ("int64", "samples that were over full scale"),
    "warning": ("string", "what to know of a stem that is ok"),
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
