"""Put edited tracks back into a file; all other streams are copied bit for bit."""

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ffmpeg

from separator.errors import EncoderFailed, LayoutUnsupported, RequestError
from separator.media.covers import OLD, attach, extract_covers
from separator.media.ffmpeg import QUIET, Child
from separator.media.formats import FORMATS, fit_layout
from separator.media.groups import NAMED_LAYOUT
from separator.media.limits import SAFE_INPUT, Limits, check_file, put_paths, show_name
from separator.media.muxer_options import choose_muxer_options
from separator.media.mxf import COPIED_KINDS, check_whole
from separator.media.probe import Media, Track, probe
from separator.media.seen import Seen, ask_ffprobe
from separator.media.tags import drop_stem_tags, keep_tags, make_tag
from separator.media.unwritten import raise_for_output

# Muxer and usual audio codec of a container.
MUXERS = {
    ".mp4": ("mp4", "aac"),
    ".m4v": ("mp4", "aac"),
    ".mov": ("mov", "aac"),
    ".mkv": ("matroska", "flac"),
    ".mka": ("matroska", "flac"),
    ".webm": ("webm", "libopus"),
    ".ts": ("mpegts", "aac"),
    ".mxf": ("mxf", "pcm_s24le"),
}
# Endings of files that hold one track and no picture, with the names of their formats.
SOUND_FORMATS = {
    ".wav": "wav",
    ".flac": "flac",
    ".mp3": "mp3",
    ".m4a": "m4a",
    ".m4b": "m4a",
    ".ogg": "ogg",
    ".oga": "ogg",
    ".opus": "ogg",
}
MUXERS |= {
    suffix: (FORMATS[name].muxer, next(iter(FORMATS[name].codecs.values())))
    for suffix, name in SOUND_FORMATS.items()
}
# PCM is replaced by PCM of the same kind.
PCM_MUXERS = ("mov", "mxf", "wav")
# Containers that ffmpeg writes no cover into.
WITHOUT_COVERS = ("wav", "ogg")
# Options of the copied streams; data streams (time codes, telemetry) cannot be copied.
COPY: dict[str, object] = {
    "c": "copy",
    # Packets of streams may be stored far apart: the muxer waits for a packet of each stream.
    "max_interleave_delta": 0,
    # The same input gives the same bytes; without this, Matroska would get a random id.
    "fflags": "+bitexact",
}
RESTARTING = {"mpegts", "mpeg", "ogg"}
# Containers that do not say when pictures are shown, which may not be the order of their packets.
WITHOUT_PICTURE_TIMES = ("mpeg", "avi", "gxf")
# Codecs that Matroska cannot hold, and lossless codecs to use instead.
LOSSLESS_INSTEAD = {
    "pcm_bluray": "flac",
    "pcm_dvd": "flac",
    "s302m": "flac",
    "pcm_s8": "pcm_s16le",
    "pcm_f32be": "pcm_f32le",
    "pcm_f64be": "pcm_f64le",
}
# Players show the name of the handler if a container has no titles of tracks.
HANDLER_MUXERS, HANDLER = ("mp4", "mov"), "SoundHandler"
# While the muxer waits for a stream with long pauses, it holds at most 30 s of other packets.
SPARSE, PATIENT = ("picture", "subtitle"), {"max_interleave_delta": 30_000_000}


@dataclass(frozen=True)
class MuxSettings:
    """Encoding of new tracks. None: the container's usual codec, the encoder's own bit rate."""

    codec: str | None = None
    bitrate_bps: int | None = None


@dataclass(frozen=True)
class NewTrack:
    """Audio to put in: in place of the track `replaces`, whose flags it takes and, unless given,
    language and title; or as an additional track after the others. `channel`: put in only this
    channel of the audio, as a mono track."""

    path: Path
    language: str | None = None
    title: str | None = None
    replaces: Track | None = None
    channel: int | None = None


def put_tracks(
    path: Path,
    media: Media,
    tracks: Sequence[NewTrack],
    output_path: Path,
    settings: MuxSettings | None = None,
    limits: Limits | None = None,
) -> None:
    """Write `path` with new tracks to `output_path`, in one pass. Sample 0 of each new track is
    placed at the file's zero, as in `decode`."""
    settings, limits = settings or MuxSettings(), limits or Limits()
    check_file(path)
    probed = [probe(new.path, limits).tracks[0] for new in tracks]
    if output_path.absolute() in (path.absolute(), *(new.path.absolute() for new in tracks)):
        raise RequestError(f"{show_name(output_path)}: must not be one of the input files")
    with tempfile.TemporaryDirectory(dir=output_path.parent) as folder:
        seen, covers = ask_ffprobe(path, limits), {}
        media = _leave_out(replace(media, start_s=seen.start_s), SPARSE, seen.known)
        if MUXERS.get(output_path.suffix.lower(), ("",))[0] == "matroska":
            covers = dict(extract_covers(path, media, Path(folder), limits))
        given = tracks, probed, output_path, settings, seen
        try:
            _write(build_command(path, media, *given, covers), path, output_path, limits)
        except EncoderFailed:
            if media.video or "picture" not in media.stream_kinds:
                raise
            # The cover may be broken, or of a kind that the format does not hold: webp in mp3.
            media = _leave_out(media, ("picture",))
            _write(build_command(path, media, *given, {}), path, output_path, limits)
    if output_path.suffix.lower() == ".mxf":
        check_whole(path, media, output_path, limits)


def _leave_out(media: Media, kinds: Collection[str], but: Collection[int] = ()) -> Media:
    """Mark streams of these kinds, `but` for some, as data, which is not copied."""
    marked = (
        "data" if kind in kinds and at not in but else kind
        for at, kind in enumerate(media.stream_kinds)
    )
    return replace(media, stream_kinds=tuple(marked))


def _write(command: list[str], path: Path, output_path: Path, limits: Limits) -> None:
    try:
        with Child(command, path, limits, hung=EncoderFailed) as child:
            code, tail = child.finish()
        what = f"{show_name(path)} and the new tracks cannot be muxed: "
        raise_for_output(output_path, code, tail, what)
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
    seen: Seen,
    covers: dict[int, Path],
) -> list[str]:
    """Build ffmpeg's command that copies all streams of `path` in order, except the replaced ones.
    `covers`: pictures to attach, by the number that their stream has in `path`."""
    suffix = output_path.suffix.lower()
    if suffix not in MUXERS:
        raise RequestError(f"{show_name(output_path)}: must end in one of {', '.join(MUXERS)}")
    muxer, codec = MUXERS[suffix]
    old, offset_s = _open_old(media, muxer)
    replaced = {new.replaces.stream_index: i for i, new in enumerate(tracks) if new.replaces}
    # (kind, stream of the old file, number of the new track or None)
    order = [(kind, at, replaced.get(at)) for at, kind in enumerate(media.stream_kinds)]
    order += [("audio", -1, i) for i, new in enumerate(tracks) if not new.replaces]
    streams, new_places, options, num_audio = [], [], dict(COPY), 0
    options |= PATIENT if set(SPARSE) & set(media.stream_kinds) else {}
    options |= choose_muxer_options(path, muxer, probed[0].rate_hz)
    codecs = {track.stream_index: track.codec for track in media.tracks}
    kept = set(COPIED_KINDS) - ({"picture"} if muxer in WITHOUT_COVERS else set())
    for kind, at, number in order:
        if number is not None:
            edited = ffmpeg.input(f"path:new{number}", itsoffset=f"{offset_s:.9f}", **SAFE_INPUT)
            streams.append(edited["a:0"])
            place = (len(streams) - 1, num_audio)
            new_places.append(place[0])
            stem, new = probed[number], tracks[number]
            own = settings.codec or _keep_codec(new, muxer) or codec
            options |= _make_options(stem, new, *place, own, settings)
            options |= _name_handler(new, place[0]) if muxer in HANDLER_MUXERS else {}
        elif kind in kept and at not in covers:
            streams.append(old[str(at)])
            if muxer == "matroska" and (instead := LOSSLESS_INSTEAD.get(codecs.get(at, ""))):
                options[f"c:{len(streams) - 1}"] = instead
        else:
            continue
        num_audio += kind == "audio"
    output = ffmpeg.output(*streams, "path:output", format=muxer, **options)
    # -progress makes ffmpeg write to stdout regularly, so that the stall limit can work.
    flags = (*QUIET, "-progress", "pipe:1")
    command = output.global_args(*flags).overwrite_output().compile()
    words = keep_tags(command, old, muxer, seen) + drop_stem_tags(new_places, muxer)
    at = command.index("path:output")
    command[at:at] = words + attach(covers, len(streams))
    names = {f"new{number}": new.path for number, new in enumerate(tracks)}
    return put_paths(command, old=path, output=output_path, **names)


def _open_old(media: Media, muxer: str) -> tuple[Any, float]:
    """Return ffmpeg's input for the old file, and the time at which new tracks begin."""
    # ffmpeg moves the start of each input to time 0; new tracks belong at the zero of the first
    # input, which may be later than its start (priming).
    start_s = media.tracks[0].start_s if media.zero_s is None and media.tracks else media.zero_s
    # In RESTARTING containers ffmpeg moves the first copied stream to 0, unless an offset is given.
    moved = {"itsoffset": "0.000001"} if set(media.container.split(",")) & RESTARTING else {}
    if muxer == "mp3":  # its start is the encoder's delay, which is no part of chapters
        moved = {"itsoffset": f"{media.start_s:.9f}"}
    counted = {"fflags": "+genpts"} if media.container in WITHOUT_PICTURE_TIMES else {}
    return ffmpeg.input(OLD, **SAFE_INPUT, **moved, **counted), (start_s or 0.0) - media.start_s


def _keep_codec(new: NewTrack, muxer: str) -> str | None:
    """Return the codec of the replaced stream if it is PCM in a container of masters, or flac in
    ogg."""
    codec = new.replaces.codec if new.replaces else ""
    is_master = muxer in PCM_MUXERS and codec.startswith("pcm_")
    return codec if is_master or (muxer, codec) == ("ogg", "flac") else None


def _pick_channel(new: NewTrack, codec: str) -> str:
    """Make the filter that takes one channel of a new track; PCM keeps the old channel's name."""
    named = NAMED_LAYOUT.fullmatch((new.replaces and new.replaces.layout) or "")
    layout = named[1] if named and codec.startswith("pcm_") else "mono"
    return f"pan={layout}|c0=c{new.channel}"


def _make_filters(stem: Track, new: NewTrack, codec: str) -> list[str]:
    old = new.replaces
    named = _pick_channel(new, codec) if new.channel is not None else ""
    words = [named or fit_layout(codec, stem.num_channels, stem.layout)]
    is_unnamed = old and not old.layout and stem.num_channels > 2 and not named
    if is_unnamed and codec.startswith("pcm_"):  # it stays unnamed: a wav may hold ambisonics
        places = "|".join(map(str, range(stem.num_channels)))
        words = [f"channelmap=map={places}:channel_layout={stem.num_channels}C"]
    if codec.startswith("pcm_") or codec == "flac":
        words.append("aformat=sample_fmts=flt")  # ffmpeg rounds floats and cuts integers off
    if old and old.codec == codec == "flac" and old.bit_depth == 16:
        words.append("aformat=sample_fmts=s16")  # flac keeps its depth, as PCM does
    return [each for each in words if each]


def _find_title(new: NewTrack) -> str:
    return new.title or (new.replaces and new.replaces.title) or ""


def _name_handler(new: NewTrack, place: int) -> dict[str, object]:
    # The key of a tag of the stream `place`, other than the keys below.
    return {f"metadata:s:0x{place:x}": make_tag("handler_name", _find_title(new) or HANDLER)}


def _make_options(
    stem: Track, new: NewTrack, place: int, audio_place: int, codec: str, settings: MuxSettings
) -> dict[str, object]:
    old = new.replaces
    language = new.language or (old and old.language) or ""
    flags = [*(["default"] if old.is_default else []), *old.flags] if old else []
    options: dict[str, object] = {
        f"c:{place}": codec,
        f"disposition:{place}": "+".join(flags) or "0",
        # Two keys for one stream, as each can be given once; an empty title removes the stem's.
        f"metadata:s:{place}": make_tag("language", language),
        f"metadata:s:a:{audio_place}": make_tag("title", _find_title(new)),
    }
    if settings.bitrate_bps:
        options[f"b:{place}"] = settings.bitrate_bps
    if words := _make_filters(stem, new, codec):
        options[f"filter:{place}"] = ",".join(words)
    if codec == "libopus":
        options[f"ar:{place}"] = 48000
    if stem.num_channels > 8 and new.channel is None and not codec.startswith("pcm_"):
        raise LayoutUnsupported(f"{stem.num_channels} channels: {codec} holds up to 8")
    return options
