"""Fetch an asset, probe it, decode its tracks and cut them into spans.

An error of the asset becomes a failure row. Knows storage and media, not the network.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np

from separator.audio.spans import cut_spans
from separator.errors import (
    AudioError,
    MediaError,
    RequestError,
    StorageError,
    find_error,
)
from separator.media.choose import choose_tracks
from separator.media.decode import output_rate
from separator.media.decoder import close_probed_files
from separator.media.joined import decode_track, drop_silent
from separator.media.limits import Limits
from separator.media.probe import Media, Track, probe
from separator.media.usable import check_track
from separator.results.folders import find_folder, withdraw
from separator.results.paths import Layout
from separator.results.record import select_done
from separator.rows import NO_TRACK, AlreadyDone, Asset, Failed, Seconds, SpanRow, TrackInfo, fail
from separator.storage import Entry, Storage
from separator.storage.temporary import temporary_folder

# Errors of an asset. Anything else is a bug and stops the run.
ASSET_ERRORS = (MediaError, StorageError, AudioError, RequestError)


@dataclass(frozen=True)
class SpanPlan:
    """The length of spans, the context that the network needs, and the grid of its windows."""

    span_s: float
    context_s: Fraction
    grid_s: Fraction


@dataclass(frozen=True)
class Extractor:
    """The stage as a value, which travels to each worker once."""

    storage: Storage
    layout: Layout
    plan: SpanPlan
    retry_failed: bool = False
    limits: Limits = field(default_factory=Limits)
    channels: str = "linked"  # `model.channels` of the config
    group: str = "off"  # `input.group` of the config

    def __call__(self, asset: Asset) -> Iterator[SpanRow | Failed | AlreadyDone]:
        """Yield spans as they are decoded. Hold back the last row until storage has confirmed that
        the asset did not change since it was listed: without this row it cannot be complete."""
        held: SpanRow | Failed | None = None
        is_decoded, started = False, time.monotonic()
        try:
            check_asset(asset)
            asset, found = find_folder(self.storage, self.layout, asset)
            # A run may have committed the asset and died before it wrote its manifest.
            if records := select_done(found.records, asset.items, self.retry_failed):
                yield AlreadyDone(asset, tuple(records))
                return
            with temporary_folder() as folder:
                for row in self._extract(asset, folder):
                    if isinstance(row, SpanRow) and not is_decoded:  # its stems will be made
                        is_decoded = True
                        withdraw(self.storage, self.layout, asset, found)
                    timed = replace(row, seconds=Seconds(extract=time.monotonic() - started))
                    if held is not None:
                        yield held
                    held, started = timed, time.monotonic()
        except ASSET_ERRORS as error:
            yield fail((asset, NO_TRACK, 1), error, "extract")
            return
        assert held is not None, asset.uri
        yield held

    def _extract(self, asset: Asset, folder: Path) -> Iterator[SpanRow | Failed]:
        with self.storage.on_disk(make_entry(asset), folder) as path:
            try:
                yield from self._read(asset, path)
            finally:
                close_probed_files(self.limits)  # a deleted copy takes up disk until it is closed

    def _read(self, asset: Asset, path: Path) -> Iterator[SpanRow | Failed]:
        media = probe(path, self.limits)
        tracks = choose_tracks(media.tracks, asset.tracks, self.group)
        for track in tracks:
            of = (asset, describe_track(track, media), len(tracks))
            try:
                sounding, note = drop_silent(path, media, track, self.limits)
                of = (asset, describe_track(sounding, media), len(tracks))
                yield from self._cut(of, path, media, sounding, note)
            except ASSET_ERRORS as error:
                yield fail(of, error, "extract")

    def _cut(
        self, of: tuple[Asset, TrackInfo, int], path: Path, media: Media, track: Track, note: str
    ) -> Iterator[SpanRow]:
        """Yield the spans of a track; the last span also carries `note`."""
        rate_hz = check_track(track, self.channels, self.layout.extension)
        if rate_hz != track.rate_hz:
            note = _join_notes(f"resampled from {track.rate_hz} to {rate_hz} Hz", note)
        plan, number = self.plan, 0
        with contextlib.closing(decode_track(path, media, track, self.limits)) as blocks:
            spans = cut_spans(blocks, rate_hz, plan.span_s, plan.context_s, plan.grid_s)
            for number, (span, samples_CT, is_last) in enumerate(spans, start=1):
                yield SpanRow(
                    *of,
                    number=number - 1,
                    is_last=is_last,
                    start=span.start,
                    core_start=span.core_start,
                    core_stop=span.core_stop,
                    samples=np.ascontiguousarray(samples_CT),
                    repairs=_join_notes(note, blocks.repairs.describe()) if is_last else "",
                )
        if not number:
            raise AudioError(f"track {track.index} holds no samples")


def check_asset(asset: Asset) -> None:
    """Raise the error that listing the asset found, if any."""
    if asset.trouble:
        raise find_error(asset.trouble_code)(asset.trouble)


def make_entry(asset: Asset) -> Entry:
    """Describe the asset as it was listed."""
    return Entry(asset.uri, asset.num_bytes, asset.etag, datetime.fromisoformat(asset.modified_at))


def describe_track(track: Track, media: Media) -> TrackInfo:
    return TrackInfo(
        track.index,
        output_rate(track) if track.rate_hz else 0,
        track.num_channels,
        track.layout,
        track.language or "",
        f"{media.video.frame_rate} {media.timecode}".rstrip() if media.video else "",
        tuple(stream.index for stream in track.streams),
    )


def _join_notes(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
