"""The rows that travel through the flow, and the manifest's columns. Nothing here computes.

Rows between stages are plain dicts of numbers, texts and arrays; a column is never None where its
siblings hold something else, because one None turns an Arrow column into pickled objects. Lists and
dicts travel as JSON.
"""

from typing import TypedDict

import numpy as np

from separator.errors import SeparatorError


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
