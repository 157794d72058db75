"""Decide when a stem has all its parts and an asset all its stems: outcomes in, commands out.

Pure bookkeeping: it neither reads nor writes, and holds only assets that are under way.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from separator.audio.renditions import JOINT
from separator.detect.heard import join_heard
from separator.detect.stretches import StretchRule
from separator.results.commit_file import list_uris
from separator.results.record import (
    ABSENT,
    StemAbsent,
    make_fingerprint,
    make_record,
    make_timestamp,
)
from separator.results.schema import Record
from separator.rows import (
    RENDITION,
    RESIDUAL,
    AlreadyDone,
    Asset,
    Failed,
    Measures,
    Outcome,
    PartWritten,
    Remuxed,
    RowOfStem,
    RowOfTrack,
    StemWritten,
    TrackInfo,
    WorkItem,
)


@dataclass(frozen=True, kw_only=True)
class Assemble(RowOfStem):
    """Make one file of the parts of a stem, a residual or a rendition."""

    num_parts: int
    measures: Measures  # of the whole file
    silent: tuple[tuple[int, int], ...]  # (number, samples) of each part that was not written


@dataclass(frozen=True)
class Remux:
    """Put a rendition of all tracks into a copy of the asset."""

    asset: Asset
    name: str
    tracks: tuple[TrackInfo, ...]


@dataclass(frozen=True)
class Commit:
    """Write the records of an asset: all of its files are readable."""

    asset: Asset
    records: list[Record]
    is_new: bool = True  # false: an earlier run wrote its record.json
    orphan_uris: tuple[str, ...] = ()  # files of the asset that no record names


@dataclass(frozen=True)
class Discard:
    """Delete what came after its asset was handed out as `Commit`, and what no record names."""

    asset: Asset
    uri: str = ""  # empty: the parts of the asset


Command = Assemble | Remux | Commit | Discard
Key = tuple[int, str, str]  # track index, kind, name
Made = StemWritten | StemAbsent | Failed


@dataclass
class _Parts:
    """The parts of one stem that have been written so far."""

    rows: dict[int, PartWritten] = field(default_factory=dict)
    last: int | None = None

    def add(self, row: PartWritten) -> None:
        # A task that Ray repeats writes the same part again.
        self.rows[row.number] = row
        if row.is_last:
            self.last = row.number

    @property
    def is_whole(self) -> bool:
        return self.last is not None and len(self.rows) == self.last + 1

    def finish(self) -> "Assemble | StemAbsent":
        """Return the command that joins the parts, or an absent stem if all parts are silent."""
        rows = [self.rows[number] for number in sorted(self.rows)]
        last, measures = rows[-1], sum_measures([row.measures for row in rows])
        heard = join_heard([row.heard for row in rows])
        if all(row.is_silent for row in rows):
            return StemAbsent(last, measures, heard)
        return Assemble(
            *last.of(),
            kind=last.kind,
            name=last.name,
            num_parts=len(rows),
            measures=measures,
            silent=tuple((r.number, r.measures.num_samples) for r in rows if r.is_silent),
            heard=heard,
            repairs=last.repairs,
        )


@dataclass
class _State:
    """The outcomes of one asset so far."""

    asset: Asset | None = None  # with all of its work items, as soon as a row carries them
    num_tracks: int = 0
    parts: dict[Key, _Parts] = field(default_factory=dict)
    files: dict[Key, Made] = field(default_factory=dict)
    failed_tracks: dict[int, Failed] = field(default_factory=dict)  # -1 is the whole asset
    remuxed: dict[str, Remuxed | Failed] = field(default_factory=dict)  # by rendition
    ordered: set[str] = field(default_factory=set)  # renditions whose remux is under way

    def find_file(self, index: int, kind: str, name: str) -> Made | None:
        return self.failed_tracks.get(index) or self.files.get((index, kind, name))

    def list_tracks(self) -> list[int]:
        return sorted({key[0] for key in self.files} | set(self.failed_tracks))


class Collector:
    """Collect outcomes, which come in any order and some of them twice."""

    def __init__(
        self,
        run_columns: Mapping[str, Any],
        residual: str = "none",
        with_remux: bool = False,
        last_commit_us: int = 0,
        rule: StretchRule | None = None,
    ) -> None:
        """`run_columns`: columns that are the same in every record of a run. `last_commit_us`: the
        newest time in the manifest, which all commits of this run follow. `rule`: how presence is
        made of what was heard."""
        self.run_columns, self.residual, self.with_remux = dict(run_columns), residual, with_remux
        self.last_commit_us = last_commit_us
        self.rule = rule or StretchRule()
        self.open: dict[str, _State] = {}  # by URI of the asset
        self.closed: set[int] = set()  # hashes of versions of assets handed out as `Commit`
        self.failed: set[int] = set()  # those of them that failed as a whole

    def add(self, outcome: Outcome) -> list[Command]:
        """Take in an outcome; return the commands that follow from it."""
        asset = outcome.asset
        if (version := hash(name_version(asset))) in self.closed:
            if isinstance(outcome, StemWritten) and version in self.failed:
                return [Discard(asset, outcome.uri)]
            has_part = isinstance(outcome, PartWritten) and not outcome.is_silent
            return [Discard(asset)] if has_part else []
        state = self.open.setdefault(asset.uri, _State())
        if asset.is_whole:
            state.asset = asset
        if isinstance(outcome, RowOfTrack):
            state.num_tracks = outcome.num_tracks
        match outcome:
            case AlreadyDone(records=records):
                # Date the records anew: they supersede rows of a run that could not read the asset.
                renewed = {"created_at": make_timestamp(self.last_commit_us)}
                return [self._close(asset, [r | renewed for r in records], is_new=False)]
            case PartWritten():
                parts = state.parts.setdefault(make_key(outcome), _Parts())
                parts.add(outcome)
                if not parts.is_whole:
                    return []
                done = parts.finish()
                if isinstance(done, Assemble):
                    return [done]
                state.files[make_key(outcome)] = done
            case Remuxed(name=name) | Failed(kind="remux", name=name):
                state.remuxed[name] = outcome
            case Failed(name=""):
                state.failed_tracks[outcome.track.index] = outcome
            case StemWritten() | Failed():
                state.files[make_key(outcome)] = outcome
        return self._advance(state.asset, state) if state.asset else []

    def drop_incomplete(self) -> None:
        """Forget assets that are under way: the next pass processes them again."""
        self.open.clear()

    def _advance(self, asset: Asset, state: _State) -> list[Command]:
        tracks = state.list_tracks()
        if -1 in state.failed_tracks:
            tracks = [-1]
        elif len(tracks) < state.num_tracks:
            return []
        files = [
            (item, state.find_file(i, item.kind, item.name)) for i in tracks for item in asset.items
        ]
        residuals = [self._find_residual(state, i, item) for i in tracks for item in asset.items]
        if any(file is None for _, file in files) or any(r is MISSING for r in residuals):
            return []
        if self.with_remux and not state.failed_tracks:
            for name in asset.list_names(RENDITION):
                mixes = [state.files[i, RENDITION, name] for i in tracks]
                if any(isinstance(mix, Failed) for mix in mixes):
                    continue
                if name not in state.ordered:
                    state.ordered.add(name)
                    return [Remux(asset, name, tuple(map(find_track_info, mixes)))]
                if name not in state.remuxed:
                    return []
        shared = self.run_columns | {"created_at": make_timestamp(self.last_commit_us)}
        records = [
            make_record(
                item,
                cast(Made, file),
                cast(StemWritten | Failed | None, residual),
                state.remuxed.get(item.name) if item.kind == RENDITION else None,
                shared,
                self.rule,
            )
            for (item, file), residual in zip(files, residuals, strict=True)
        ]
        return [self._close(asset, name_absent(asset, records))]

    def _find_residual(self, state: _State, index: int, item: WorkItem) -> Any:
        """Find the residual for a stem's record: None if there is none to make, or MISSING."""
        if self.residual == "none" or item.kind == RENDITION or index in state.failed_tracks:
            return None
        name = item.name if self.residual == "per_query" else JOINT
        return state.files.get((index, RESIDUAL, name), MISSING)

    def _close(self, asset: Asset, records: list[Record], is_new: bool = True) -> Commit:
        state = self.open.pop(asset.uri)
        self.closed.add(version := hash(name_version(asset)))
        if -1 in state.failed_tracks:
            self.failed.add(version)
        written = [*state.files.values(), *state.remuxed.values()]
        uris = {row.uri for row in written if isinstance(row, StemWritten | Remuxed)}
        return Commit(asset, records, is_new, tuple(sorted(uris - set(list_uris(records)))))


MISSING = object()  # a residual that is still to come


def name_absent(asset: Asset, records: list[Record]) -> list[Record]:
    """Give records of stems that are absent on all tracks the id that holds for any threshold."""
    ids = {item.name: item.absent_id for item in asset.items}
    present = {r["query_name"] for r in records if r["status"] != ABSENT}
    return [
        r
        if r["query_name"] in present or not (own := ids[r["query_name"]])
        else r | {"request": own, "fingerprint": make_fingerprint(own, r["track_index"])}
        for r in records
    ]


def name_version(asset: Asset) -> str:
    """Name an asset as it was listed: it may be replaced between two passes of a run."""
    return f"{asset.etag} {asset.uri}"


def find_track_info(file: Made) -> TrackInfo:
    return file.last.track if isinstance(file, StemAbsent) else file.track


def make_key(row: PartWritten | StemWritten | Failed) -> Key:
    return row.track.index, row.kind, row.name


def sum_measures(parts: Sequence[Measures]) -> Measures:
    """Add up the figures of the parts of a stem."""
    return Measures(
        num_channels=max(part.num_channels for part in parts),  # 0 in silent parts
        num_samples=sum(part.num_samples for part in parts),
        energy=sum(part.energy for part in parts),
        energy_in=sum(part.energy_in for part in parts),
        peak=max(part.peak for part in parts),
        null_error=max(part.null_error for part in parts),
        similarity=weigh_similarity(parts),
    )


def weigh_similarity(parts: Iterable[Measures]) -> float:
    """Average over spans by energy; silent spans have no similarity and do not count."""
    known = [(part.similarity, part.energy) for part in parts if not math.isnan(part.similarity)]
    total = sum(energy for _, energy in known)
    return sum(value * energy for value, energy in known) / total if total else math.nan
