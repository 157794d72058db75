"""Find the links of a chained file: ogg after ogg, flac after flac, wav after wav.

Players play links one after the other. libav loses a frame or more where links meet, gives up at
another codec or rate, and stops at the end of the first wav. So links of ogg and flac are opened
one by one, and a second wav is an error.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from separator.errors import MediaUnreadable
from separator.media.limits import show_name

READ_BYTES = 1 << 20
HEAD_BYTES = 400  # an ogg page's header (up to 282 bytes) and the head of the packet in it
# The first page of an ogg stream; the first block of a flac.
STARTS = {
    "ogg": re.compile(rb"OggS\0[\x02\x03\x06\x07]"),
    "flac": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
}
# Codecs by the start of their first packet, and the bytes of it that hold rate and channels.
AUDIO = {
    b"\x01vorbis": slice(11, 16),
    b"OpusHead": slice(9, 10),
    b"\x7fFLAC": slice(27, 30),
    b"Speex   ": slice(36, 52),
}
NAMES = {b"\x01vorbis": "vorbis", b"OpusHead": "opus", b"\x7fFLAC": "flac", b"Speex   ": "speex"}


@dataclass(frozen=True)
class Link:
    """A stretch of a file's bytes, and the audio streams in it: (codec, rate and channels)."""

    start: int
    streams: tuple[tuple[str, bytes], ...] = ()


def find_links(path: Path, container: str) -> list[tuple[int, int]]:
    """List the bytes (start, stop) of each link, none if the file is no chain; MediaUnreadable if
    links do not fit together."""
    links: list[Link] = []
    if container == "flac":
        links = [Link(at) for at, _ in _find_starts(path, STARTS["flac"])]
    if container == "ogg":
        links = list(_list_ogg_links(path))
        _compare(path, links)
    if container == "wav" and (at := _find_second_riff(path)):
        raise MediaUnreadable(
            f"{show_name(path)}: a second wav follows at byte {at:,} and would be lost: split the"
            " file there"
        )
    if len(links) < 2:
        return []
    starts = [0, *(link.start for link in links[1:])]
    return list(pairwise([*starts, path.stat().st_size]))


def _compare(path: Path, links: list[Link]) -> None:
    """Raise MediaUnreadable if the links of an ogg have different codecs."""
    for number, link in enumerate(links, start=1):
        first, other = ([name for name, _ in each.streams] for each in (links[0], link))
        if other != first:
            raise MediaUnreadable(
                f"{show_name(path)}: link {number} of {len(links)} holds"
                f" {', '.join(other) or 'no sound'} after {', '.join(first) or 'no sound'} and"
                " would be lost: split the file there"
            )


def _list_ogg_links(path: Path) -> Iterator[Link]:
    """Yield each link; the first pages of its streams follow each other directly."""
    link: list[tuple[str, bytes]] = []
    expected = start = 0
    for at, head in _find_starts(path, STARTS["ogg"]):
        packet = head[27 + head[26] :] if len(head) > 26 else b""
        kind = next((key for key in AUDIO if packet.startswith(key)), None)
        if at != expected:
            if link:
                yield Link(start, tuple(link))
            link, start = [], at
        expected = at + 27 + head[26] + sum(head[27 : 27 + head[26]]) if len(head) > 26 else 0
        if kind:
            link.append((NAMES[kind], packet[AUDIO[kind]]))
    if link:
        yield Link(start, tuple(link))


def _find_starts(path: Path, start: re.Pattern[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, the bytes there) of each place that looks like a start."""
    with path.open("rb") as file:
        held, offset = b"", 0
        while True:
            data = file.read(READ_BYTES)
            held += data
            end = len(held) - HEAD_BYTES if data else len(held)
            for found in start.finditer(held):
                if found.start() < end:
                    yield offset + found.start(), held[found.start() : found.start() + HEAD_BYTES]
            if not data:
                return
            end = max(0, end)
            held, offset = held[end:], offset + end


def _find_second_riff(path: Path) -> int | None:
    """Return the offset at which a second wav begins behind the first; None if there is none."""
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] != b"RIFF":
            return None
        at = 8 + struct.unpack_from("<I", head, 4)[0]
        for place in (at, at + at % 2):  # chunks are padded to an even length
            file.seek(place)
            if file.read(4) == b"RIFF":
                return place
    return None
