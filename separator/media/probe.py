"""Read a file's headers: its audio tracks, its picture, and the instant at which they start."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separator.audio.loudness import LAYOUTS
from separator.errors import MediaUnreadable, NoAudio
from separator.media.decoder import borrow_decoder
from separator.media.ffmpeg import raise_for_exit
from separator.media.limits import Limits, check_file, show_name

TIMECODE = re.compile(r"\d\d:\d\d:\d\d[:;.]\d\d+")
# Names that programs give to every track.
HANDLERS = {"SoundHandler", "SoundHandle", "Sound Media Handler", "Apple Sound Media Handler",
            "Core Media Audio"}  # fmt: skip
# Flags that an audio track may have, by libav's names.
FLAGS = ("dub", "original", "comment", "lyrics", "karaoke", "forced", "hearing_impaired",
         "visual_impaired", "clean_effects", "captions", "descriptions", "dependent")  # fmt: skip


@dataclass(frozen=True)
class Track:
    """One audio stream, or several mono ones that `groups.py` joined. Values that the file does not
    state are None."""

    index: int  # among the audio streams
    stream_index: int  # among all streams
    codec: str
    rate_hz: int
    num_channels: int
    layout: str | None
    bit_depth: int | None  # None for lossy codecs
    language: str | None
    title: str | None
    is_default: bool
    start_s: float | None
    duration_s: float | None
    tick_s: float  # the step of its timestamps
    flags: tuple[str, ...] = ()  # its other flags, from `FLAGS`
    streams: tuple["Track", ...] = ()  # the mono streams that it joins, one for each channel


@dataclass(frozen=True)
class Video:
    """The first video stream."""

    stream_index: int
    codec: str
    width_px: int | None
    height_px: int | None
    start_s: float | None
    duration_s: float | None
    frame_rate: str  # such as 25/1; empty if unknown


@dataclass(frozen=True)
class Media:
    """A file. Times of tracks are the container's own; decoded tracks begin at `zero_s`."""

    tracks: tuple[Track, ...]
    video: Video | None
    container: str
    start_s: float  # of the container, including priming
    zero_s: float | None  # None: at the first decoded sample of its only track
    duration_s: float | None
    stream_kinds: tuple[str, ...]  # of all streams: audio, video, picture, subtitle, data ...
    timecode: str = ""  # of its first picture; empty if there is none
    has_splices: bool = False  # times may jump, for example in joined transport streams
    codecs: tuple[str, ...] = ()  # of all streams, as far as libav knows them


def probe(path: Path, limits: Limits | None = None) -> Media:
    """Probe a file; NoAudio if it has no audio stream."""
    limits = limits or Limits()
    check_file(path)
    with borrow_decoder(path, limits) as decoder:
        decoder.ask(path, limits, {"do": "probe"})
        for _ in decoder.receive():
            pass
        answer = decoder.answer
        if "error" in answer:
            raise_for_exit(path, limits, 1, decoder.tail)
    media = read_answer(answer)
    if not media.stream_kinds:
        raise MediaUnreadable(f"{show_name(path)}: {media.container} without a single stream")
    if not media.tracks:
        kinds = ", ".join(media.stream_kinds)
        raise NoAudio(f"{show_name(path)}: no audio stream (it has: {kinds})")
    return media


def read_answer(answer: dict[str, Any]) -> Media:
    """Convert a description, in the words of ffprobe, to a Media."""
    streams = sorted(answer.get("streams", []), key=lambda stream: stream["index"])
    form = answer.get("format", {})
    container = form.get("format_name", "")
    total_s = _seconds(form.get("duration"))
    kinds = tuple(_name_kind(stream) for stream in streams)
    audio = [s for s, kind in zip(streams, kinds, strict=True) if kind == "audio"]
    pictures = [s for s, kind in zip(streams, kinds, strict=True) if kind == "video"]
    tracks = tuple(_read_track(index, stream, total_s) for index, stream in enumerate(audio))
    video = _read_video(pictures[0]) if pictures else None
    return Media(
        tracks=tracks,
        video=video,
        container=container,
        start_s=_seconds(form.get("start_time")) or 0.0,
        zero_s=_find_zero(tracks, video, container),
        duration_s=total_s,
        stream_kinds=kinds,
        timecode=_find_timecode(answer),
        has_splices=bool(form.get("splices")),
        codecs=tuple(stream.get("codec_name", "") for stream in streams),
    )


def _find_zero(tracks: tuple[Track, ...], video: Video | None, container: str) -> float | None:
    """Return the time of the first picture or the first sound, whichever comes first."""
    starts_s = [track.start_s for track in tracks]
    if video is None and len(tracks) == 1:
        return None
    if "matroska" in container:
        # Negative times in Matroska are codec delay, which is priming and not sound.
        starts_s = [None if start_s is None else max(0.0, start_s) for start_s in starts_s]
    known_s = [s for s in (*starts_s, video.start_s if video else None) if s is not None]
    return min(known_s, default=0.0)


def _read_track(index: int, stream: dict[str, Any], total_s: float | None) -> Track:
    tags = {key.lower(): value for key, value in stream.get("tags", {}).items()}
    language = tags.get("language", "").strip()
    return Track(
        index=index,
        stream_index=stream["index"],
        codec=stream.get("codec_name", "unknown"),
        rate_hz=int(stream.get("sample_rate") or 0),
        num_channels=int(stream.get("channels") or 0),
        layout=_read_layout(stream),
        bit_depth=_read_bit_depth(stream),
        language=None if language in ("", "und") else language,
        title=_read_title(tags),
        is_default=bool(stream.get("disposition", {}).get("default")),
        start_s=_seconds(stream.get("start_time")),
        duration_s=_read_duration(stream, tags, total_s),
        tick_s=_read_tick(stream.get("time_base", "")),
        flags=tuple(flag for flag in FLAGS if flag in stream.get("disposition", {})),
    )


def _read_title(tags: dict[str, str]) -> str | None:
    """Read a track's title; mp4 and mov have the name of its handler instead."""
    handler = tags.get("handler_name", "")
    return tags.get("title") or (None if handler in HANDLERS else handler) or None


def _read_video(stream: dict[str, Any]) -> Video:
    return Video(
        stream_index=stream["index"],
        codec=stream.get("codec_name", "unknown"),
        width_px=stream.get("width"),
        height_px=stream.get("height"),
        start_s=_seconds(stream.get("start_time")),
        duration_s=_seconds(stream.get("duration")),
        frame_rate=stream.get("frame_rate", ""),
    )


def _find_timecode(answer: dict[str, Any]) -> str:
    """Find the time code of the container, or of a stream: mov has a separate stream for it."""
    for each in (answer.get("format", {}), *answer.get("streams", [])):
        tags = {key.lower(): value for key, value in each.get("tags", {}).items()}
        if TIMECODE.fullmatch(tags.get("timecode", "")):
            return tags["timecode"]
    return ""


def _name_kind(stream: dict[str, Any]) -> str:
    kind = stream.get("codec_type", "unknown")
    disposition = stream.get("disposition", {})
    if disposition.get("attached_pic") or disposition.get("timed_thumbnails"):
        return "picture"
    return kind


def _read_layout(stream: dict[str, Any]) -> str | None:
    layout = stream.get("channel_layout", "")
    if layout in ("", "unknown") or layout.endswith("channels"):
        return None
    if layout in LAYOUTS or "+" in layout or not stream.get("channel_names"):
        return layout
    # Layouts of later releases are spelled out channel by channel: older readers lack their names.
    names = stream["channel_names"]
    return f"{len(names)} channels ({'+'.join(names)})"


def _read_bit_depth(stream: dict[str, Any]) -> int | None:
    for name in ("bits_per_raw_sample", "bits_per_sample"):
        bits = int(stream.get(name) or 0)
        if bits > 0:
            return bits
    return None


def _read_duration(
    stream: dict[str, Any], tags: dict[str, str], total_s: float | None
) -> float | None:
    duration_s = _seconds(stream.get("duration"))
    if duration_s is not None:
        return duration_s
    # Matroska keeps it in a tag, "00:01:02.345000000", which may be out of date.
    hours, _, rest = tags.get("duration", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    tagged_s = _seconds(seconds)
    if tagged_s is None or not (hours.isdecimal() and minutes.isdecimal()):
        return None
    tagged_s += 3600 * int(hours) + 60 * int(minutes)
    return tagged_s if total_s is None else min(tagged_s, total_s)


def _read_tick(time_base: str) -> float:
    above, _, below = time_base.partition("/")
    if above.isdecimal() and below.isdecimal() and int(below):
        return int(above) / int(below)
    return 0.0


def _seconds(text: str | float | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None  # N/A
