"""Puts an edited track back into a file: everything else is copied bit for bit, nothing else is
encoded. It knows local files and positions of streams, not what was edited.
"""

from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from separator.errors import RequestError
from separator.media.errors import EncoderFailed, LayoutUnsupported
from separator.media.ffmpeg import QUIET, Child
from separator.media.formats import SIDE_AS_BACK
from separator.media.inputs import SAFE_INPUT, Limits, check_file, clean_tag, put_paths, show_name
from separator.media.probe import Media, Track, probe

# The audio codec that players of a container expect.
MUXERS = {
    ".mp4": ("mp4", "aac"),
    ".m4v": ("mp4", "aac"),
    ".mov": ("mov", "aac"),
    ".mkv": ("matroska", "flac"),
    ".mka": ("matroska", "flac"),
    ".webm": ("webm", "libopus"),
    ".ts": ("mpegts", "aac"),
}
# Of the other streams; data streams (time codes, telemetry) do not survive a remux.
COPIED_KINDS = ("video", "picture", "audio", "subtitle", "attachment")


@dataclass(frozen=True)
class MuxSettings:
    """None: what the container usually has (aac, flac or opus), at the encoder's own bit rate."""

    codec: str | None = None
    bitrate_bps: int | None = None


def replace_track(
    path: Path,
    media: Media,
    track: Track,
    stem_path: Path,
    output_path: Path,
    language: str | None = None,
    title: str | None = None,
    settings: MuxSettings | None = None,
    limits: Limits | None = None,
) -> None:
    """`path` with `track` replaced by the audio of `stem_path`, in its place among the streams.

    Sample 0 of the stem is laid at the file's zero, as `decode` has it. Language, title and default
    flag are the old track's unless given.
    """
    language, title = language or track.language, title or track.title
    new = _NewTrack(stem_path, language, title, track.is_default)
    _mux(path, media, new, track.stream_index, output_path, settings, limits)


def add_track(
    path: Path,
    media: Media,
    stem_path: Path,
    output_path: Path,
    language: str | None = None,
    title: str | None = None,
    settings: MuxSettings | None = None,
    limits: Limits | None = None,
) -> None:
    """`path` with the audio of `stem_path` as a further track, after the others."""
    new = _NewTrack(stem_path, language, title, is_default=False)
    _mux(path, media, new, None, output_path, settings, limits)


@dataclass(frozen=True)
class _NewTrack:
    path: Path
    language: str | None
    title: str | None
    is_default: bool


def _mux(
    path: Path,
    media: Media,
    new: _NewTrack,
    replaced: int | None,
    output_path: Path,
    settings: MuxSettings | None,
    limits: Limits | None,
) -> None:
    settings, limits = settings or MuxSettings(), limits or Limits()
    check_file(path)
    stem = probe(new.path, limits)
    if output_path.absolute() in (path.absolute(), new.path.absolute()):
        raise RequestError(f"{show_name(output_path)}: must not be one of the files it is made of")
    command = build_command(path, media, new, stem, replaced, output_path, settings)
    try:
        with Child(command, path, limits, hung=EncoderFailed) as child:
            code, tail = child.finish()
        if code != 0:
            raise EncoderFailed(
                f"{show_name(output_path)}: {show_name(path)} cannot be put together with the stem"
                f" (ffmpeg exited with {code}): {tail}"
            )
    except BaseException:
        output_path.unlink(missing_ok=True)
        raise


def build_command(
    path: Path,
    media: Media,
    new: _NewTrack,
    stem: Media,
    replaced: int | None,
    output_path: Path,
    settings: MuxSettings,
) -> list[str]:
    """ffmpeg: copy all streams of `path` in order, with the stem in the place of `replaced`."""
    suffix = output_path.suffix.lower()
    if suffix not in MUXERS:
        raise RequestError(f"{show_name(output_path)}: must end in one of {', '.join(MUXERS)}")
    muxer, codec = MUXERS[suffix]
    codec = settings.codec or codec
    # ffmpeg moves both files to time 0 by their own starts; the stem belongs to the first one's
    # zero, which may lie later than its start (priming).
    start_s = media.tracks[0].start_s if media.zero_s is None and media.tracks else media.zero_s
    offset_s = (start_s or 0.0) - media.start_s
    old = ffmpeg.input("path:old", **SAFE_INPUT)
    edited = ffmpeg.input("path:new", itsoffset=f"{offset_s:.9f}", **SAFE_INPUT)["a:0"]
    streams, place, kinds = [], None, []
    for index, kind in enumerate(media.stream_kinds):
        if index == replaced:
            place = len(streams)
            streams.append(edited)
        elif kind in COPIED_KINDS:
            streams.append(old[str(index)])
        else:
            continue
        kinds.append(kind)
    if place is None:
        place = len(streams)
        streams.append(edited)
    audio_place = kinds[:place].count("audio")
    options = _make_options(stem.tracks[0], new, place, audio_place, codec, settings)
    output = ffmpeg.output(*streams, "path:output", format=muxer, **options)
    # -progress: a sign of life for the stall limit.
    flags = (*QUIET, "-progress", "pipe:1")
    command = output.global_args(*flags).overwrite_output().compile()
    return put_paths(command, old=path, new=new.path, output=output_path)


def _make_options(
    stem: Track, new: _NewTrack, place: int, audio_place: int, codec: str, settings: MuxSettings
) -> dict[str, object]:
    options: dict[str, object] = {
        "c": "copy",
        f"c:{place}": codec,
        "map_metadata": 0,
        "map_chapters": 0,
        f"disposition:{place}": "default" if new.is_default else "0",
        # Two spellings of one stream, because a key can be given once; empty removes the stem's.
        f"metadata:s:{place}": f"language={clean_tag(new.language or 'und')}",
        f"metadata:s:a:{audio_place}": f"title={clean_tag(new.title or '')}",
        # The file's own streams may lie far apart; nothing is to be cut for that.
        "max_interleave_delta": 0,
    }
    if settings.bitrate_bps:
        options[f"b:{place}"] = settings.bitrate_bps
    if codec in ("aac", "libopus") and stem.layout in SIDE_AS_BACK:
        options[f"filter:{place}"] = f"aformat=channel_layouts={SIDE_AS_BACK[stem.layout]}"
    if codec == "libopus":
        options[f"ar:{place}"] = 48000
    if stem.num_channels > 8:
        raise LayoutUnsupported(f"{stem.num_channels} channels: {codec} holds up to 8")
    return options
