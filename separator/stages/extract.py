"""An asset in, spans of its tracks out: fetched, probed, decoded, cut. What is wrong with it is a
row, not an error. It knows storage and media, not the network."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np

from separator.audio.spans import check_rate, cut_spans
from separator.errors import (
    AudioError,
    LayoutUnsupported,
    MediaError,
    RequestError,
    SeparatorError,
    StorageError,
)
from separator.media.choose import choose_tracks
from separator.media.decode import decode, output_rate
from separator.media.limits import Limits
from separator.media.probe import Media, Track, probe
from separator.results.paths import Layout
from separator.results.record import find_answers, read_record
from separator.rows import AssetRow, SpanRow, set_error
from separator.storage import Entry, Storage

NO_SAMPLES = np.zeros((0, 0), np.float32)
# What may be wrong with an asset. Anything else is a bug and stops the run.
ASSET_ERRORS = (MediaError, StorageError, AudioError, RequestError)


@dataclass(frozen=True)
class SpanPlan:
    """How tracks are cut: what the network repeats on, and what it can see."""

    span_s: float
    context_s: Fraction
    grid_s: Fraction


@dataclass(frozen=True)
class Extractor:
    """The stage as a value: it travels to the workers once."""

    storage: Storage
    layout: Layout
    plan: SpanPlan
    retry_failed: bool = True
    limits: Limits = field(default_factory=Limits)

    def __call__(self, row: AssetRow) -> Iterator[SpanRow]:
        """Spans as they come out of ffmpeg. The very last row is held back until the asset is known
        to be still the one that was listed: no asset is complete before that."""
        held: SpanRow | None = None
        started = time.monotonic()
        try:
            check_row(row)
            if done := self._find_done(row):
                yield make_row(row, records=json.dumps(done))
                return
            with tempfile.TemporaryDirectory(prefix="separator-") as folder:
                for span_row in self._extract(row, Path(folder)):
                    span_row["seconds"] = time.monotonic() - started
                    if held is not None:
                        yield held
                    held = span_row
                    started = time.monotonic()
        except ASSET_ERRORS as error:
            yield make_row(row, error=error)
            return
        assert held is not None, row["asset_uri"]
        yield held

    def _find_done(self, row: AssetRow) -> list[dict]:
        """Records of an asset that a run committed but whose manifest was never written."""
        record = read_record(self.storage, self.layout.record(row["asset_path"]))
        return find_answers(record, row, self.retry_failed)

    def _extract(self, row: AssetRow, folder: Path) -> Iterator[SpanRow]:
        with self.storage.on_disk(make_entry(row), folder) as path:
            media = probe(path, self.limits)
            tracks = choose_tracks(media.tracks, json.loads(row["tracks"]))
            for track in tracks:
                try:
                    yield from self._cut(row, path, media, track, len(tracks))
                except ASSET_ERRORS as error:
                    yield make_row(row, track, len(tracks), error=error)

    def _cut(
        self, row: AssetRow, path: Path, media: Media, track: Track, num_tracks: int
    ) -> Iterator[SpanRow]:
        rate_hz = output_rate(track)
        if not rate_hz:
            raise LayoutUnsupported(f"track {track.index} ({track.codec}) tells no sample rate")
        check_rate(rate_hz)
        plan, number = self.plan, 0
        with contextlib.closing(decode(path, media, track, self.limits)) as blocks:
            spans = cut_spans(blocks, rate_hz, plan.span_s, plan.context_s, plan.grid_s)
            for number, (span, samples_CT, is_last) in enumerate(spans, start=1):
                span_row = make_row(row, track, num_tracks)
                span_row["number"], span_row["is_last"] = number - 1, is_last
                span_row["start"] = span.start
                span_row["core_start"], span_row["core_stop"] = span.core_start, span.core_stop
                span_row["samples"] = np.ascontiguousarray(samples_CT)
                yield span_row
        if not number:
            raise AudioError("the track holds no samples")


def check_row(row: AssetRow) -> None:
    if row["trouble"]:
        raise RequestError(row["trouble"])


def make_entry(row: AssetRow) -> Entry:
    """The asset as it was listed."""
    modified_at = datetime.fromisoformat(row["modified_at"])
    return Entry(row["asset_uri"], row["asset_bytes"], row["asset_etag"], modified_at)


def make_row(
    row: AssetRow,
    track: Track | None = None,
    num_tracks: int = 1,
    error: SeparatorError | None = None,
    records: str = "",
) -> SpanRow:
    """A row without samples: a failure, or the frame of a span."""
    about = {}
    if track is not None:
        about = asdict(track) | {"rate_hz": output_rate(track) if track.rate_hz else 0}
    made = SpanRow(
        asset=json.dumps(row),
        track=json.dumps(about),
        track_index=-1 if track is None else track.index,
        num_tracks=num_tracks,
        number=0,
        is_last=True,
        records=records,
        error_code="",
        error_stage="",
        error_detail="",
        start=0,
        core_start=0,
        core_stop=0,
        samples=NO_SAMPLES,
        seconds=0.0,
    )
    if error is not None:
        set_error(made, error, "extract")
    return made
