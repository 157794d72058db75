"""Ask ffprobe how ffmpeg, which muxes, sees a file: for some files it differs from PyAV's libav."""

import json
from dataclasses import dataclass
from pathlib import Path

from separator.media.ffmpeg import run
from separator.media.limits import SAFE_INPUT, Limits, name_input

MAX_BYTES = 16 << 20
SHOWN = (
    "format=start_time:format_tags:stream=index,codec_name:chapter=start_time:chapter_tags=title"
)


@dataclass(frozen=True)
class Seen:
    """A file as ffmpeg sees it."""

    start_s: float
    known: frozenset[int]  # streams whose codec ffmpeg knows
    chapters: tuple[tuple[float, str], ...]  # start in seconds, title
    tags: frozenset[str]  # names of the file's own


def ask_ffprobe(path: Path, limits: Limits) -> Seen:
    """Read start, streams and chapters of a file with ffprobe."""
    safe = [word for key, value in SAFE_INPUT.items() for word in (f"-{key}", str(value))]
    shown = ("-show_entries", SHOWN, "-of", "json=compact=1")
    command = ["ffprobe", "-loglevel", "error", *safe, *shown, "-i", name_input(path)]
    answer = json.loads(run(command, path, limits, MAX_BYTES).decode(errors="replace"))
    chapters = [
        (float(chapter["start_time"]), chapter.get("tags", {}).get("title", ""))
        for chapter in answer.get("chapters", [])
        if "start_time" in chapter
    ]
    streams, about = answer.get("streams", []), answer.get("format", {})
    return Seen(
        start_s=float(about.get("start_time", 0.0)),
        known=frozenset(each["index"] for each in streams if "codec_name" in each),
        chapters=tuple(chapters),
        tags=frozenset(about.get("tags", {})),
    )
