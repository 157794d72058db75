"""Keep the covers of a file that becomes Matroska, which stores covers as attachments.

If they were copied as streams, they would become picture tracks.
"""

from collections.abc import Iterator
from pathlib import Path

import ffmpeg

from separator.media.ffmpeg import QUIET, run
from separator.media.limits import SAFE_INPUT, Limits, name_input, put_paths
from separator.media.probe import Media

OLD = "path:old"  # the file, in commands whose paths are put in later
COVERS = {
    b"\xff\xd8\xff": ("cover.jpg", "image/jpeg"),
    b"\x89PNG": ("cover.png", "image/png"),
    b"GIF8": ("cover.gif", "image/gif"),
    b"BM": ("cover.bmp", "image/bmp"),
    b"RIFF": ("cover.webp", "image/webp"),
}
MAX_COVER_BYTES = 64 << 20


def extract_covers(
    path: Path, media: Media, folder: Path, limits: Limits
) -> Iterator[tuple[int, Path]]:
    """Write each cover of a file into a folder of its own; yield (number of its stream, path)."""
    for at, kind in enumerate(media.stream_kinds):
        if kind != "picture":
            continue
        picture = ffmpeg.input(OLD, **SAFE_INPUT)[str(at)]
        output = ffmpeg.output(picture, "pipe:1", format="data", c="copy", **{"frames:v": 1})
        command = put_paths(output.global_args(*QUIET).compile(), old=path)
        data = run(command, path, limits, MAX_COVER_BYTES)
        for start, (name, _) in COVERS.items():
            if data.startswith(start):
                (folder / str(at)).mkdir()
                (folder / str(at) / name).write_bytes(data)
                yield at, folder / str(at) / name


def attach(covers: dict[int, Path], place: int) -> list[str]:
    """Return the arguments of ffmpeg that attach covers; `place`: number of the first stream."""
    kinds = dict(COVERS.values())
    words = []
    for number, cover_path in enumerate(covers.values(), start=place):
        words += ["-attach", name_input(cover_path)]
        words += [f"-metadata:s:{number}", f"mimetype={kinds[cover_path.name]}"]
    return words
