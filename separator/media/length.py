"""Read the length that a file states, and compare it with the decoded one."""

import struct
from pathlib import Path

from separator.errors import StorageError
from separator.media.limits import show_name
from separator.media.probe import Media, Track

# A file is truncated if more than this is missing at its end: players differ by a few frames.
SLACK_S = 0.25
SLACK_SHARE = 0.005
# Containers whose header or index states the length of a track. Of others ffprobe reports the
# existing length (ogg, mpegts, asf, flv) or an estimate (bare streams).
STATING = ("mov", "matroska", "flac", "caf", "aiff", "w64", "mxf")
RIFF_UNKNOWN = 0x7FFF_F000  # sizes from here on come from writers that cannot seek


def states_length(stated_s: float, end_s: float) -> bool:
    """Return whether the decoded length agrees with the stated one."""
    return end_s >= stated_s - max(SLACK_S, SLACK_SHARE * stated_s)


def find_end(path: Path, media: Media, track: Track) -> float | None:
    """Return the seconds from zero at which the track should end; None if the file does not say."""
    if media.container in ("wav", "avi"):
        return _scale_by_bytes(path, track)
    stating = any(name in media.container.split(",") for name in STATING)
    # An mp3 with a LAME or Xing header starts at its encoder's delay.
    stating = stating or (media.container == "mp3" and bool(track.start_s))
    if not stating or track.duration_s is None:
        return None
    start_s = 0.0 if "matroska" in media.container else track.start_s or 0.0
    zero_s = (track.start_s or 0.0) if media.zero_s is None else media.zero_s
    return track.duration_s + start_s - zero_s


def find_cut(media: Media, track: Track, rate_hz: int) -> int | None:
    """Return the sample at which an mp4 ends its track; the rest of the last packet is padding."""
    if "mov" not in media.container.split(",") or not track.duration_s:
        return None
    zero_s = (track.start_s or 0.0) if media.zero_s is None else media.zero_s
    return round((track.duration_s + (track.start_s or 0.0) - zero_s) * rate_hz)


def _scale_by_bytes(path: Path, track: Track) -> float | None:
    """Scale ffprobe's length, that of the existing bytes, to the bytes that the header states."""
    if track.duration_s is None:
        return None
    try:
        actual = path.stat().st_size
        stated = _read_riff_bytes(path)
    except OSError as error:  # gone since it was decoded, say
        raise StorageError(f"{show_name(path)}: {error.strerror}") from None
    if stated is None or stated <= actual:
        return None
    return track.duration_s * stated / actual


def _read_riff_bytes(path: Path) -> int | None:
    with path.open("rb") as file:
        head = file.read(28)
    if len(head) < 28:
        return None
    if head[:4] in (b"RF64", b"BW64") and head[12:16] == b"ds64":
        return struct.unpack_from("<Q", head, 20)[0] + 8
    size = struct.unpack_from("<I", head, 4)[0]
    return size + 8 if head[:4] == b"RIFF" and 0 < size < RIFF_UNKNOWN else None
