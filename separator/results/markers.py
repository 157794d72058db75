"""Write where queries are heard as markers that editing programs read. Pure.

    audacity  labels: start, stop and text, a line each
    csv       a row for each stretch, with time codes where frames are known
    edl       CMX 3600 with a marker (LOC) and DaVinci Resolve's form of it for each stretch
    otio      OpenTimelineIO, a clip of the asset with its markers

Time code is that of the asset, if it has one; otherwise it starts at 00:00:00:00.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING
from urllib.parse import quote

from separator.errors import RequestError, check_installed

if TYPE_CHECKING:
    from separator.results.found import Found

SUFFIXES = {"audacity": ".txt", "csv": ".csv", "edl": ".edl", "otio": ".otio"}
RESOLVE_COLOURS = ("Blue", "Green", "Red", "Yellow", "Purple", "Cyan", "Pink", "Sand")


@dataclass(frozen=True)
class Frames:
    """The video frames of an asset: how many a second, and the number of the first."""

    rate: Fraction = Fraction(25)
    first: int = 0
    is_drop: bool = False  # time code leaves numbers out, to keep to the clock at 29.97

    @property
    def count_hz(self) -> int:
        """The number of frames in a second of time code."""
        return max(1, round(self.rate))

    def find(self, seconds: float) -> int:
        """Return the frame whose start is nearest to a moment, counted from the first."""
        return round(seconds * self.rate)

    def show(self, frame: int) -> str:
        """Write the time code of a frame, counted from the first."""
        frame, hz = frame + self.first, self.count_hz
        if self.is_drop:
            frame = add_dropped(frame, hz)
        seconds, part = divmod(frame, hz)
        sign = ";" if self.is_drop else ":"
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours % 24:02}:{minutes:02}:{seconds % 60:02}{sign}{part:02}"


def add_dropped(frame: int, hz: int) -> int:
    """Add the numbers that drop-frame time code has left out before a frame.

    Each minute leaves out its first two numbers (four at 60), except every tenth minute.
    """
    dropped = hz // 15
    minute, ten = 60 * hz - dropped, 600 * hz - 9 * dropped
    tens, rest = divmod(frame, ten)
    frame += 9 * dropped * tens
    return frame + (dropped * ((rest - dropped) // minute) if rest > dropped else 0)


def read_timecode(text: str, rate: Fraction) -> Frames:
    """Read the time code of an asset's first frame: 01:00:00:00, or 01:00:00;00 for drop frame."""
    parts = text.replace(";", ":").replace(".", ":").split(":")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        raise RequestError(f"time code {text!r}: must be HH:MM:SS:FF")
    hours, minutes, seconds, frame = map(int, parts)
    hz = max(1, round(rate))
    # Drop frame exists at 30 and 60 frames; programs write its sign at other rates, too.
    is_drop = hz % 30 == 0 and (";" in text or "." in text.rpartition(":")[2])
    number = ((hours * 60 + minutes) * 60 + seconds) * hz + frame
    if is_drop:
        total_minutes = 60 * hours + minutes
        number -= hz // 15 * (total_minutes - total_minutes // 10)
    return Frames(rate, number, is_drop)


def write_markers(
    form: str,
    title: str,
    found: "Sequence[Found]",
    frames: Frames,
    queries: "Sequence[str]" = (),
    duration_s: float = 0.0,
) -> str:
    """Write the stretches of one asset, of which there is at least one, in order of time.

    `title`: the name of the asset's file.
    `queries`: the queries of all assets, so that a query has the same colour in each of them.
    `duration_s`: of the asset; 0 if it is not known: then the clip ends with the last stretch.
    """
    ordered = sorted(found, key=lambda each: (each.start_s, each.track, each.query))
    if form == "audacity":
        return "".join(f"{m.start_s:.6f}\t{m.stop_s:.6f}\t{make_label(m)}\n" for m in ordered)
    if form == "csv":
        return _write_csv(ordered, frames)
    if form == "edl":
        return _write_edl(title, ordered, frames, queries or sorted({m.query for m in found}))
    return _write_otio(title, ordered, frames, duration_s)


def make_label(found: "Found") -> str:
    """Name a stretch in one line."""
    return f"{found.query} {found.score:.2f} track {found.track}"


def _write_csv(markers: "Sequence[Found]", frames: Frames) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    names = ["asset", "track", "query", "start_s", "stop_s", "score", "start_code", "stop_code"]
    writer.writerow(names)
    for m in markers:
        codes = [frames.show(frames.find(s)) for s in (m.start_s, m.stop_s)]
        numbers = [f"{number:.3f}" for number in (m.start_s, m.stop_s, m.score)]
        writer.writerow([m.asset_uri, m.track, m.query, *numbers, *codes])
    return sink.getvalue()


def _write_edl(
    title: str, markers: "Sequence[Found]", frames: Frames, queries: "Sequence[str]"
) -> str:
    lines = [f"TITLE: {to_ascii(title)}"]
    lines += [f"FCM: {'DROP' if frames.is_drop else 'NON-DROP'} FRAME", ""]
    for number, m in enumerate(markers, start=1):
        start = frames.find(m.start_s)
        length = max(1, frames.find(m.stop_s) - start)
        colour = RESOLVE_COLOURS[queries.index(m.query) % len(RESOLVE_COLOURS)]
        first, last = frames.show(start), frames.show(start + 1)
        lines += [
            f"{number:03}  001      V     C        {first} {last} {first} {last}",
            f" |C:ResolveColor{colour} |M:{to_ascii(make_label(m))} |D:{length}",
            f"* LOC: {first} {colour.upper():7} {to_ascii(make_label(m))}",
            "",
        ]
    return "\n".join(lines) + "\n"


def to_line(text: str) -> str:
    """Write a name in one line of clean text, whatever bytes it has."""
    return " ".join(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())


def to_ascii(text: str) -> str:
    """Keep what an EDL can hold: one line of ASCII, without `|`, which separates its fields."""
    return " ".join(text.encode("ascii", "replace").decode().replace("|", "/").split())


def to_url(asset_uri: str) -> str:
    """Write a path as a URL if OpenTimelineIO would misread the path: it decodes `%`, and cuts off
    what follows `#`, `?` or `;`."""
    is_plain = "://" in asset_uri or not set(asset_uri) & set("%#?;")
    return asset_uri if is_plain else f"file://{quote(asset_uri)}"


def _write_otio(title: str, markers: "Sequence[Found]", frames: Frames, duration_s: float) -> str:
    check_installed("opentimelineio", "editors", "OpenTimelineIO")
    import opentimelineio as otio

    rate = float(frames.rate)
    whole = frames.find(max(duration_s, *(m.stop_s for m in markers)))

    def make_range(first: int, length: int) -> "otio.opentime.TimeRange":
        return otio.opentime.TimeRange(
            otio.opentime.RationalTime(frames.first + first, rate),
            otio.opentime.RationalTime(length, rate),
        )

    title = to_line(title)
    clip = otio.schema.Clip(title, source_range=make_range(0, whole))
    clip.media_reference = otio.schema.ExternalReference(
        to_url(markers[0].asset_uri), available_range=make_range(0, whole)
    )
    for m in markers:
        start = frames.find(m.start_s)
        length = max(1, frames.find(m.stop_s) - start)
        marker = otio.schema.Marker(make_label(m), make_range(start, length))
        marker.metadata["separator"] = {"query": m.query, "track": m.track, "score": m.score}
        clip.markers.append(marker)
    timeline = otio.schema.Timeline(title)
    track = otio.schema.Track("presence")
    track.append(clip)
    timeline.tracks.append(track)
    return json.dumps(json.loads(timeline.to_json_string()), indent=1, ensure_ascii=False) + "\n"
