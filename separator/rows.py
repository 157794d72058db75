"""Define the rows between the stages of the flow, and turn them into Ray rows and JSON and back.

    list        -> AssetBatch
    extract     -> SpanRow | Failed | AlreadyDone
    separate    -> StemRow | Failed | AlreadyDone
    publish     -> StemWritten | PartWritten | Failed | AlreadyDone
    assemble    -> StemWritten | Failed
    remux       -> Remuxed | Failed

The class of a row says what became of the work; an empty column never does. Only `to_ray` and
`from_ray` convert rows to and from Ray's tables, only `to_json` and `read_json` to and from JSON.
"""

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from separator.errors import SeparatorError

# The kinds of files that are made of an asset.
STEM, RESIDUAL, RENDITION, REMUX = "stem", "residual", "rendition", "remux"
CLASSES, SIMILARITY, STEM_ITSELF = "classes", "similarity", "stem"  # how a query was heard
NO_SAMPLES = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class WorkItem:
    """One thing to be made of an asset and to be recorded: a stem or a rendition."""

    id: str  # hash of everything that changes it
    kind: str  # STEM or RENDITION
    name: str  # name of the query or the rendition, and of its file
    text: str  # text of the query, or gains of the rendition
    needs: tuple[str, ...] = ()  # names of the work items that are made in the same pass
    warning: str = ""  # goes into the record of a stem that is ok but doubtful
    former_id: str = ""  # its id by the rule of the first release, which old outputs still hold
    absent_id: str = ""  # its id if the stem is absent: the same for every threshold of a gate
    threshold: float = 0.0  # an absent record counts as done if its score is below this
    examples_version: str = ""  # version of the query's example sounds or images, if it has no text
    examples_source: str = ""  # JSON: the files and folders of these, as the config gives them
    examples_kind: str = "audio"  # kind of these examples: audio, image or video

    @property
    def condition(self) -> str:  # the key of its query's condition
        return self.examples_version or self.text

    @property
    def ids(self) -> tuple[str, ...]:  # all ids that its records may have
        return self.id, self.former_id, self.absent_id


@dataclass(frozen=True)
class Asset:
    """One media object of the library, as listed, with its work items: all, or those pending."""

    uri: str
    path: str  # below stems/, see results/paths.py
    etag: str
    num_bytes: int
    modified_at: str  # ISO 8601
    items: tuple[WorkItem, ...]
    tracks: Any = "all"  # as `tracks` in the config
    trouble: str = ""  # why the asset cannot be processed, if listing found a reason
    trouble_code: str = ""
    carried: str = ""  # JSON: columns of its list that are copied into its records
    is_whole: bool = True  # false: only one of its items is here, see `keep_item`

    def list_names(self, kind: str) -> list[str]:
        return [item.name for item in self.items if item.kind == kind]

    def keep_item(self, name: str) -> "Asset":
        """Keep only the items of this name, or the first item if none has it: otherwise each row of
        an asset with hundreds of queries would carry hundreds of items."""
        own = [item for item in self.items if item.name == name]
        return replace(self, items=tuple(own or self.items[:1]), is_whole=False)


@dataclass(frozen=True)
class TrackInfo:
    index: int  # among the audio streams of its asset; -1 if no track was reached
    rate_hz: int = 0
    num_channels: int = 0
    layout: str | None = None  # such as 5.1(side)
    language: str = ""
    picture: str = ""  # frame rate and time code of its asset: "25/1 10:00:00:00"
    streams: tuple[int, ...] = ()  # if it is a group: the audio streams that are its channels


NO_TRACK = TrackInfo(-1)


@dataclass(frozen=True)
class Seconds:
    """Time spent on a row in each stage; each second is counted in one row only."""

    extract: float = 0.0
    separate: float = 0.0
    publish: float = 0.0


@dataclass(frozen=True)
class Heard:
    """Where a query is heard in a span, or in a track: see detect/heard.py."""

    by: str  # what listened: CLASSES, SIMILARITY or STEM_ITSELF
    score: float  # the highest score in the span or track
    runs: tuple[tuple[float, float, float], ...] = ()  # start, stop, score: above the low threshold


@dataclass(frozen=True)
class AssetBatch:
    assets: tuple[Asset, ...]  # small ones travel together, a large one alone


@dataclass(frozen=True)
class RowOfTrack:
    asset: Asset
    track: TrackInfo  # NO_TRACK if none was reached
    num_tracks: int  # tracks of this asset that this run processes

    def of(self) -> tuple[Asset, TrackInfo, int]:
        """Return the first three arguments for another row of the same track."""
        return self.asset, self.track, self.num_tracks


@dataclass(frozen=True, kw_only=True)
class SpanRow(RowOfTrack):
    """A stretch of one track with context on both sides; sample numbers count within the track."""

    number: int = 0  # position of the span in its track
    is_last: bool = True
    start: int = 0
    core_start: int = 0
    core_stop: int = 0
    samples: np.ndarray = field(default_factory=lambda: NO_SAMPLES)  # (C, T) float32
    repairs: str = ""  # repairs by the decoder; only the last span of a track carries them
    seconds: Seconds = Seconds()


@dataclass(frozen=True, kw_only=True)
class RowOfStem(RowOfTrack):
    kind: str = STEM
    name: str = ""
    heard: Heard | None = None  # of a stem; None: nothing listened
    repairs: str = ""
    seconds: Seconds = Seconds()


@dataclass(frozen=True, kw_only=True)
class StemRow(RowOfStem):
    """The core of one span of a stem, of a residual or of a rendition."""

    number: int = 0
    is_last: bool = True
    samples: np.ndarray = field(default_factory=lambda: NO_SAMPLES)  # (C, T) float32
    num_silent: int = 0  # so many samples of silence replace `samples`: the query is not heard
    null_error: float = 0.0  # for a residual: distance of stem + residual from the track
    similarity: float = math.nan  # of a stem or its residual to the query; NaN: not measured
    energy_in: float = 0.0  # energy of the track in this span, summed over channels


@dataclass(frozen=True)
class Measures:
    """Figures of a stem, or of one part of it."""

    num_channels: int
    num_samples: int
    energy: float  # summed over channels
    energy_in: float  # energy of the track in the same stretch
    peak: float
    null_error: float = 0.0
    similarity: float = math.nan


@dataclass(frozen=True, kw_only=True)
class PartWritten(RowOfStem):
    """One more part of a stem of several spans is on storage, or is silent and not written."""

    measures: Measures
    number: int = 0
    is_last: bool = False
    is_silent: bool = False  # nothing was written: all of its samples are zero


@dataclass(frozen=True, kw_only=True)
class StemWritten(RowOfStem):
    """A stem, a residual or a rendition is complete under its final key."""

    measures: Measures
    uri: str = ""
    gain: float = 1.0  # factor from the sound that `measures` describes to that in the file
    num_clipped: int = 0
    loudness_lufs: float = 0.0
    true_peak_dbtp: float = 0.0
    active_share: float = 0.0


@dataclass(frozen=True)
class Remuxed:
    asset: Asset
    name: str  # of the rendition
    uri: str  # of the copy of the asset that has the rendition as its sound
    seconds: Seconds = Seconds()


@dataclass(frozen=True, kw_only=True)
class Failed(RowOfTrack):
    """A failure of one file, of a track (if `name` is empty) or of the asset (with NO_TRACK)."""

    code: str = ""
    stage: str = ""
    detail: str = ""
    kind: str = ""  # STEM, RESIDUAL, RENDITION, or REMUX for the file of a rendition
    name: str = ""
    seconds: Seconds = Seconds()


@dataclass(frozen=True)
class AlreadyDone:
    """An earlier run committed the asset and died before its manifest was written."""

    asset: Asset
    records: tuple[dict[str, Any], ...]
    seconds: Seconds = Seconds()


Outcome = StemWritten | PartWritten | Failed | AlreadyDone | Remuxed
Row = AssetBatch | SpanRow | StemRow | Outcome

TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        AssetBatch, SpanRow, StemRow, StemWritten, PartWritten, Remuxed, Failed, AlreadyDone
    )
}  # fmt: skip
WITH_SAMPLES = ("SpanRow", "StemRow")
AnyRow = TypeVar("AnyRow")


def fail(of: Any, error: SeparatorError, stage: str, **more: Any) -> Failed:
    """Make the failure row of an error; `of` as given by `RowOfTrack.of`."""
    return Failed(*of, code=error.code, stage=stage, detail=str(error), **more)


def to_ray(row: Any, with_samples: bool = False) -> dict[str, Any]:
    """Make a table row. `with_samples`: fill the column for arrays even if this row has no array,
    because one None would turn the column into pickled objects."""
    kind = type(row).__name__
    ray_row: dict[str, Any] = {"kind": kind, "content": to_json(row)}
    if with_samples:
        ray_row["samples"] = row.samples if kind in WITH_SAMPLES else NO_SAMPLES
    return ray_row


def from_ray(ray_row: dict[str, Any]) -> Any:
    """Turn a table row that `to_ray` made back into a row. Its samples are read-only."""
    kind = TYPES[ray_row["kind"]]
    content = json.loads(ray_row["content"])
    if ray_row["kind"] in WITH_SAMPLES:
        content["samples"] = ray_row["samples"]
    return _build(kind, content)


def to_json(row: Any) -> str:
    """Write a row as JSON, without its samples. NaN and lone surrogates survive."""
    content = {f.name: getattr(row, f.name) for f in fields(row) if f.name != "samples"}
    return json.dumps(content, default=asdict)


def read_json(kind: type[AnyRow], text: str) -> AnyRow:
    return _build(kind, json.loads(text))


def _build(kind: Any, content: dict[str, Any]) -> Any:
    nested = {name: build(content[name]) for name, build in NESTED.items() if name in content}
    return kind(**content | nested)


def _build_heard(content: Any) -> Heard | None:
    return content and replace(Heard(**content), runs=tuple(map(tuple, content["runs"])))


def _build_asset(content: dict[str, Any]) -> Asset:
    items = tuple(WorkItem(**item | {"needs": tuple(item["needs"])}) for item in content["items"])
    return replace(Asset(**content), items=items)


# Builders of the fields that hold more than numbers and texts, by name of the field.
NESTED = {
    "asset": _build_asset,
    "assets": lambda contents: tuple(map(_build_asset, contents)),
    "track": lambda content: TrackInfo(**content | {"streams": tuple(content["streams"])}),
    "seconds": lambda content: Seconds(**content),
    "measures": lambda content: Measures(**content),
    "heard": _build_heard,
    "records": tuple,
}
