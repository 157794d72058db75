"""Detect from ffmpeg's messages that its output could not be written, and why."""

import re
from pathlib import Path

from separator.errors import DiskFull, EncoderFailed, MediaTooLarge
from separator.media.ffmpeg import NO_MEMORY
from separator.media.limits import show_name

# ffmpeg's messages about output that it could not write; they never contain names of input files.
UNWRITTEN = re.compile(
    r"(?:\[[^]]*\] )?(?:av_interleaved_write_frame|Could not write header"
    r"|Error (?:writing trailer|closing file|submitting a packet|muxing)).*: ([^:]+)"
)
NO_ROOM = ("No space left on device", "Disk quota exceeded")


def raise_for_output(path: Path, code: int, tail: str, what: str = "") -> None:
    """Raise the error of the ffmpeg that wrote `path`, if any; `what` precedes ffmpeg's message.

    ffmpeg 5 exits with 0 even if it could not write the end of its output.
    """
    found = [match[1] for line in tail.split(" | ") if (match := UNWRITTEN.fullmatch(line))]
    if any(reason in NO_ROOM for reason in found):
        raise describe_full(path)
    if NO_MEMORY in tail:
        raise MediaTooLarge(f"{show_name(path)}: {what}the limit of memory is too low: {tail}")
    if code or found:
        raise EncoderFailed(f"{show_name(path)}: {what}{tail or f'ffmpeg exited with {code}'}")


def describe_full(path: Path) -> DiskFull:
    return DiskFull(
        f"{path}: no space left on its disk; make room, or set TMPDIR to another disk for temporary"
        " files"
    )
