"""Choose options of ffmpeg's muxers by what a file is, so that a copy of it is of the same kind."""

from pathlib import Path

# ffmpeg writes flac and TrueHD into mp4, and marks Dolby Vision, stereo 3D and spherical pictures
# in mp4 and mov, only with this option.
MORE_BOXES = {"strict": "experimental"}
INDEX_FIRST = {"movflags": "+faststart"}
# ffmpeg moves an index to the front in a second pass, which must end before the limit of a stall.
MAX_MOVED_BYTES = 2 << 30
MAX_BOXES = 1000
# A broadcast wav states its time of day in this chunk, before its samples.
TIME_CHUNK, HEAD_BYTES = b"bext", 1 << 16


def choose_muxer_options(path: Path, muxer: str, rate_hz: int) -> dict[str, object]:
    """Choose the options of a muxer for a copy of `path` whose new sound has this rate."""
    options: dict[str, object] = {}
    if muxer in ("mp4", "mov"):
        options |= MORE_BOXES
    if muxer in ("mp4", "mov", "ipod") and has_index_first(path):
        options |= INDEX_FIRST
    if muxer in ("mp4", "mov", "ipod"):
        options["movie_timescale"] = rate_hz  # else starts and ends are exact to a millisecond only
    if muxer == "wav":
        options["rf64"] = "auto"  # RF64 once 4 GB are reached
        with path.open("rb") as file:
            options |= {"write_bext": 1} if TIME_CHUNK in file.read(HEAD_BYTES) else {}
    return options


def has_index_first(path: Path) -> bool:
    """Tell whether an mp4 or mov has its index before its packets, for players on the web; False
    for a file that is too large for ffmpeg to move its index."""
    if (size := path.stat().st_size) > MAX_MOVED_BYTES:
        return False
    place = 0
    with path.open("rb") as file:
        for _ in range(MAX_BOXES):
            file.seek(place)
            head = file.read(16)
            if head[4:8] in (b"moov", b"mdat"):
                return head[4:8] == b"moov"
            num_bytes = int.from_bytes(head[:4], "big")
            if num_bytes == 1:  # a longer number follows
                num_bytes = int.from_bytes(head[8:], "big")
            place += num_bytes
            if num_bytes < 8 or place >= size:
                break
    return False
