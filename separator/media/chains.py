"""Find the links of a chained file: ogg after ogg, flac after flac, wav after wav.

Players play them one after the other. ffmpeg counts their times as if the first link went on, gives
up at another codec, and stops at the end of a first wav.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
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
class Chain:
    """The links of a file. `has_times`: ffmpeg's times hold for all of them."""

    num_links: int = 1
    has_times: bool = True


def find_chain(path: Path, container: str) -> Chain:
    """Count the links of a file; MediaUnreadable if ffmpeg can only read the first of them."""
    if container == "flac":
        num_links = sum(1 for _ in _find_starts(path, STARTS["flac"]))
        return Chain(max(1, num_links), num_links <= 1)
    if container == "ogg":
        return _compare(path, list(_list_ogg_links(path)))
    if container == "wav" and (at := _find_second_riff(path)):
        raise MediaUnreadable(
            f"{show_name(path)}: a second wav follows at byte {at:,} and would be lost: split the"
            " file there"
        )
    return Chain()


def _compare(path: Path, links: list[list[tuple[str, bytes]]]) -> Chain:
    """Compare the audio streams, (codec, rate and channels), of the links of an ogg."""
    for number, link in enumerate(links, start=1):
        first, other = ([name for name, _ in streams] for streams in (links[0], link))
        if other != first:
            raise MediaUnreadable(
                f"{show_name(path)}: link {number} of {len(links)} holds"
                f" {', '.join(other) or 'no sound'} after {', '.join(first) or 'no sound'} and"
                " would be lost: split the file there"
            )
    return Chain(max(1, len(links)), all(link == links[0] for link in links))


def _list_ogg_links(path: Path) -> Iterator[list[tuple[str, bytes]]]:
    """Yield the audio streams of each link: its first pages lie side by side."""
    link: list[tuple[str, bytes]] = []
    expected = 0
    for at, head in _find_starts(path, STARTS["ogg"]):
        packet = head[27 + head[26] :] if len(head) > 26 else b""
        kind = next((key for key in AUDIO if packet.startswith(key)), None)
        if at != expected and link:
            yield link
            link = []
        expected = at + 27 + head[26] + sum(head[27 : 27 + head[26]]) if len(head) > 26 else 0
        if kind:
            link.append((NAMES[kind], packet[AUDIO[kind]]))
    if link:
        yield link


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
    """Find the place behind a wav at which another begins."""
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
