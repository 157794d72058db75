"""Read the length that a file states, and compare it with the decoded one."""

import functools
import re
import struct
from pathlib import Path
from typing import BinaryIO

from separator.errors import StorageError
from separator.media.limits import show_name
from separator.media.probe import Media, Track

# A file is truncated if more than this is missing at its end: players differ by a few frames.
SLACK_S = 0.25
SLACK_SHARE = 0.005
# Containers whose header or index states the length of a track. For others, ffprobe reports the
# length of the existing data (ogg, mpegts, asf, flv) or an estimate (bare streams).
STATING = ("mov", "matroska", "flac", "caf", "aiff", "au", "wv", "mxf")
# Containers whose header states a size, while ffprobe reports the length of the existing data.
STATING_BYTES = ("wav", "avi", "w64")
W64_HEAD = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
HEAD_BYTES = 28
MAX_CHUNKS = 1_000  # of a caf before its samples
MAX_TAGS = 100  # of ID3 before the sound of an mp3
XING_BYTES = 4_096  # from the start of an mp3's sound: its first frame, which may state the length
RIFF_UNKNOWN = 0x7FFF_F000  # sizes from here on come from writers that cannot seek


def states_length(stated_s: float, end_s: float) -> bool:
    """Return whether the decoded length agrees with the stated one."""
    return end_s >= stated_s - max(SLACK_S, SLACK_SHARE * stated_s)


def find_end(path: Path, media: Media, track: Track) -> float | None:
    """Return the seconds from zero at which the track should end; None if the file does not say."""
    try:
        return _find_end(path, media, track)
    except OSError as error:  # deleted since it was decoded, for example
        raise StorageError(f"{show_name(path)}: {error.strerror}") from None


def _find_end(path: Path, media: Media, track: Track) -> float | None:
    length_s = media.duration_s if track.duration_s is None else track.duration_s
    if media.container in STATING_BYTES or (media.container == "caf" and "pcm" in track.codec):
        return _scale_by_bytes(path, length_s)
    stating = any(name in media.container.split(",") for name in STATING)
    # An mp3 that starts at its encoder's delay has a LAME or Xing header, which states its length.
    if media.container == "mp3" and track.start_s:
        stating = not _has_more_than_xing(path)
    if not stating or track.duration_s is None:
        return None
    start_s = 0.0 if "matroska" in media.container else track.start_s or 0.0
    if "mov" in media.container.split(","):
        start_s = min(0.0, start_s)  # the length of a trimmed track counts the pause before it
    zero_s = (track.start_s or 0.0) if media.zero_s is None else media.zero_s
    return track.duration_s + start_s - zero_s


def find_cut(media: Media, track: Track, rate_hz: int) -> int | None:
    """Return the sample at which an mp4 ends its track; the rest of the last packet is padding."""
    if "mov" not in media.container.split(",") or not track.duration_s:
        return None
    zero_s = (track.start_s or 0.0) if media.zero_s is None else media.zero_s
    return round((track.duration_s + (track.start_s or 0.0) - zero_s) * rate_hz)


def _scale_by_bytes(path: Path, length_s: float | None) -> float | None:
    """Scale ffprobe's length, that of the existing bytes, to the bytes that the header states."""
    if length_s is None:
        return None
    actual = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if head[:4] in (b"RF64", b"BW64"):
            return length_s  # already the stated length
        stated = _read_stated_bytes(head, file)
    if stated is None or stated <= actual:
        return None
    return length_s * stated / actual


def _read_stated_bytes(head: bytes, file: BinaryIO) -> int | None:
    """Read the size that a wav, avi, w64 or caf should have."""
    if len(head) < HEAD_BYTES:
        return None
    if head[:4] == b"caff":
        return _read_caf_bytes(file)
    if head[:16] == W64_HEAD:
        return struct.unpack_from("<Q", head, 16)[0]
    size = struct.unpack_from("<I", head, 4)[0]
    return size + 8 if head[:4] == b"RIFF" and 0 < size < RIFF_UNKNOWN else None


def _read_caf_bytes(file: BinaryIO) -> int | None:
    """Return the offset at which the samples of a caf should end; None if it is not stated."""
    place = 8
    for _ in range(MAX_CHUNKS):
        file.seek(place)
        head = file.read(12)
        if len(head) < 12:
            return None
        name, size = struct.unpack(">4sq", head)
        if size < 0:
            return None
        place += 12 + size
        if name == b"data":
            return place
    return None


def _has_more_than_xing(path: Path) -> bool:
    """Tell whether an mp3 has more bytes than its Xing header states, for example a cover at its
    end. In that case libav estimates the length from the file's size."""
    with path.open("rb") as file:
        start = _skip_tags(file)
        data = file.read(XING_BYTES)
        found = re.search(rb"Xing|Info", data)
        fields = data[found.end() :] if found else b""
        if len(fields) < 12:
            return False
        flags = int.from_bytes(fields[:4])
        if not flags & 2:  # it states no bytes
            return False
        stated = int.from_bytes(fields[8:12] if flags & 1 else fields[4:8])
        return path.stat().st_size - start > stated * (1 + SLACK_SHARE)


def _skip_tags(file: BinaryIO) -> int:
    """Seek to the sound behind the ID3 tags of an mp3; return its offset."""
    start = 0
    for _ in range(MAX_TAGS):
        file.seek(start)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            break
        # The size of a tag has seven bits in each byte.
        start += 10 + functools.reduce(lambda size, byte: size << 7 | byte & 0x7F, head[6:], 0)
    file.seek(start)
    return start
