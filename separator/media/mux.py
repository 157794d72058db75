"""Puts edited tracks back into a file: everything else is copied bit for bit, nothing else is
encoded. It knows local files and positions of streams, not what was edited.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from separator.errors import EncoderFailed, LayoutUnsupported, RequestError
from separator.media.ffmpeg import QUIET, Child
from separator.media.formats import SIDE_AS_BACK
from separator.media.limits import SAFE_INPUT, Limits, check_file, clean_tag, put_paths, show_name
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
COPY: dict[str, object] = {
    "c": "copy",
    "map_metadata": 0,
    "map_chapters": 0,
    # The file's own streams may lie far apart; nothing is to be cut for that.
    "max_interleave_delta": 0,
}
RESTARTING = {"mpegts", "mpeg", "ogg"}
COPIED_KINDS = ("video", "picture", "audio", "subtitle", "attachment")


@dataclass(frozen=True)
class MuxSettings:
    """None: what the container usually has (aac, flac or opus), at the encoder's own bit rate."""

    codec: str | None = None
    bitrate_bps: int | None = None


@dataclass(frozen=True)
class NewTrack:
    """Audio that goes in: in the place of a track, with its flags and, unless given, its names; or
    as a further one, after the others."""

    path: Path
    language: str | None = None
    title: str | None = None
    replaces: Track | None = None


def put_tracks(
    path: Path,
    media: Media,
    tracks: Sequence[NewTrack],
    output_path: Path,
    settings: MuxSettings | None = None,
    limits: Limits | None = None,
) -> None:
    """`path` with new tracks, all in one pass. Sample 0 of each is laid at the file's zero, as
    `decode` has it."""
    settings, limits = settings or MuxSettings(), limits or Limits()
    check_file(path)
    probed = [probe(new.path, limits).tracks[0] for new in tracks]
    if output_path.absolute() in (path.absolute(), *(new.path.absolute() for new in tracks)):
        raise RequestError(f"{show_name(output_path)}: must not be one of the files it is made of")
    command = build_command(path, media, tracks, probed, output_path, settings)
    try:
        with Child(command, path, limits, hung=EncoderFailed) as child:
            code, tail = child.finish()
        if code != 0:
            raise EncoderFailed(
                f"{show_name(output_path)}: {show_name(path)} cannot be put together with the new"
                f" sound (ffmpeg exited with {code}): {tail}"
            )
    except BaseException:
        output_path.unlink(missing_ok=True)
        raise


def build_command(
    path: Path,
    media: Media,
    tracks: Sequence[NewTrack],
    probed: Sequence[Track],
    output_path: Path,
    settings: MuxSettings,
) -> list[str]:
    """ffmpeg: copy all streams of `path` in order, new ones in the place of what they replace."""
    suffix = output_path.suffix.lower()
    if suffix not in MUXERS:
        raise RequestError(f"{show_name(output_path)}: must end in one of {', '.join(MUXERS)}")
    muxer, codec = MUXERS[suffix]
    codec = settings.codec or codec
    # ffmpeg moves all files to time 0 by their own starts; new sound belongs to the first one's
    # zero, which may lie later than its start (priming).
    start_s = media.tracks[0].start_s if media.zero_s is None and media.tracks else media.zero_s
    offset_s = (start_s or 0.0) - media.start_s
    # In these ffmpeg moves the start to the first stream that is copied, unless it has been moved.
    moved = {"itsoffset": "0.000001"} if set(media.container.split(",")) & RESTARTING else {}
    old = ffmpeg.input("path:old", **SAFE_INPUT, **moved)
    replaced = {new.replaces.stream_index: i for i, new in enumerate(tracks) if new.replaces}
    # (kind, place in the old file, which of the new ones)
    order = [(kind, at, replaced.get(at)) for at, kind in enumerate(media.stream_kinds)]
    order += [("audio", -1, i) for i, new in enumerate(tracks) if not new.replaces]
    streams, options, num_audio = [], dict(COPY), 0
    for kind, at, number in order:
        if number is not None:
            edited = ffmpeg.input(f"path:new{number}", itsoffset=f"{offset_s:.9f}", **SAFE_INPUT)
            streams.append(edited["a:0"])
            place = (len(streams) - 1, num_audio)
            options |= _make_options(probed[number], tracks[number], *place, codec, settings)
        elif kind in COPIED_KINDS:
            streams.append(old[str(at)])
        else:
            continue
        num_audio += kind == "audio"
    output = ffmpeg.output(*streams, "path:output", format=muxer, **options)
    # -progress: a sign of life for the stall limit.
    flags = (*QUIET, "-progress", "pipe:1")
    command = output.global_args(*flags).overwrite_output().compile()
    names = {f"new{number}": new.path for number, new in enumerate(tracks)}
    return put_paths(command, old=path, output=output_path, **names)


def _make_options(
    stem: Track, new: NewTrack, place: int, audio_place: int, codec: str, settings: MuxSettings
) -> dict[str, object]:
    old = new.replaces
    language = new.language or (old and old.language) or "und"
    title = new.title or (old and old.title) or ""
    options: dict[str, object] = {
        f"c:{place}": codec,
        f"disposition:{place}": "default" if old and old.is_default else "0",
        # Two spellings of one stream, because a key can be given once; empty removes the stem's.
        f"metadata:s:{place}": f"language={clean_tag(language)}",
        f"metadata:s:a:{audio_place}": f"title={clean_tag(title)}",
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
