"""Limit the files that ffmpeg may open, their names, and its time, memory and output."""

from dataclasses import dataclass
from pathlib import Path

from separator.errors import MediaUnreadable

# Formats that hold their own media. Playlists and scripts (hls, dash, concat, sdp, image2, imf,
# lavfi ...), which make ffmpeg open other files, are not listed, nor are unknown formats.
FORMATS = (
    "aac,ac3,aea,aiff,amr,amrnb,amrwb,ape,asf,ast,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gsm,"
    "gxf,h264,hevc,iff,loas,m4v,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nsv,nut,"
    "ogg,oma,rm,shn,sox,tak,truehd,tta,voc,vqf,w64,wav,wtv,wv,xwma"
)
# Options of every input that comes from a library.
SAFE_INPUT = {"protocol_whitelist": "file", "format_whitelist": FORMATS}


@dataclass(frozen=True)
class Limits:
    """The limits for one file in a decoder's process, or for one run of ffmpeg. Time counts only
    while this process waits for the decoder or ffmpeg."""

    timeout_s: float = 6 * 3600.0
    stall_s: float = 120.0  # without a byte read from or written to the decoder or ffmpeg
    memory_bytes: int = 2 << 30  # of address space
    max_duration_s: float = 48 * 3600.0  # of one decoded track
    max_file_bytes: int = 1 << 40  # of one written file
    max_error_share: float = 0.01  # of the packets of a track
    files_each: int = 1000  # probed by one process before it is replaced: libav may leak


def name_input(path: Path) -> str:
    """Return an address that ffmpeg opens as this file only, whatever characters its name has."""
    return f"file:{Path(path).absolute()}"


def check_file(path: Path) -> None:
    """Raise MediaUnreadable unless the path is a regular file with content."""
    if not Path(path).is_file():
        reason = "not a regular file" if Path(path).exists() else "there is no such file"
        raise MediaUnreadable(f"{show_name(path)}: {reason}")
    if not Path(path).stat().st_size:  # what libav says about it depends on its ending
        raise MediaUnreadable(f"{show_name(path)}: is empty (0 bytes)")


def show_name(path: Path) -> str:
    """Return the file's name for a message, on one line."""
    return repr(Path(path).name)


def put_paths(command: list[str], **paths: Path) -> list[str]:
    """Replace `path:<key>` in a command; ffmpeg-python itself accepts names in UTF-8 only."""
    addresses = {f"path:{key}": name_input(path) for key, path in paths.items()}
    return [addresses.get(word, word) for word in command]


def clean_tag(text: str) -> str:
    """Convert to a valid argument of a program: UTF-8 without NUL."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
