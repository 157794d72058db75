"""Decode an image, or frames of a video, to bytes (H, W, 3): by ffmpeg, within its limits.

Shapes: H height, W width.
"""

from pathlib import Path

import numpy as np

from separator.errors import MediaDamaged, MediaUnreadable
from separator.media.ffmpeg import QUIET, run
from separator.media.limits import SAFE_INPUT, Limits, check_file, name_input, show_name

MAX_FRAMES = 60  # of a video, one a second
MAX_BYTES = 2 << 30  # of all frames
HEAD_BYTES = 16
# First bytes of images -> ffmpeg's reader of exactly this file.
IMAGES = {b"\xff\xd8\xff": "jpeg_pipe", b"\x89PNG": "png_pipe", b"BM": "bmp_pipe"}
PPM = ("-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1")


def read_frames(
    path: Path, limits: Limits | None = None, at_s: float | None = None
) -> list[np.ndarray]:
    """Decode an image, or from a video one frame a second, or only the frame at `at_s`."""
    check_file(path)
    form = find_image_format(path)
    command = ["ffmpeg", *QUIET, "-threads", "1", "-protocol_whitelist", "file"]
    if form:
        # Without `explode`, ffmpeg would fill up a truncated JPEG with grey.
        command += ["-err_detect", "explode", "-f", form, "-i", name_input(path), "-frames:v", "1"]
    else:
        command += ["-format_whitelist", SAFE_INPUT["format_whitelist"]]
        command += ["-ss", f"{at_s:.3f}"] if at_s is not None else []
        command += ["-i", name_input(path), "-map", "0:V:0"]
        command += ["-frames:v", "1"] if at_s is not None else []
        command += ["-vf", "fps=1", "-frames:v", str(MAX_FRAMES)] if at_s is None else []
    frames = split_ppm(path, run([*command, *PPM], path, limits or Limits(), MAX_BYTES))
    if not frames and not form and at_s is None:  # less than half a second long
        return read_frames(path, limits, 0.0)
    if not frames:
        what = f"no frame at {at_s:g} s" if at_s is not None else "no picture in it"
        raise MediaUnreadable(f"{show_name(path)}: {what}")
    return frames


def find_image_format(path: Path) -> str | None:
    """Name the reader of an image by its first bytes; None for anything else."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    return next((form for start, form in IMAGES.items() if head.startswith(start)), None)


def split_ppm(path: Path, data: bytes) -> list[np.ndarray]:
    """Cut ffmpeg's PPM images apart."""
    frames, at = [], 0
    while at < len(data):
        magic, size, depth = (line.split() for line in data[at : at + 64].split(b"\n", 3)[:3])
        if magic != [b"P6"] or depth != [b"255"]:
            raise MediaDamaged(f"{show_name(path)}: its frames cannot be read")
        width, height = map(int, size)
        at = data.index(b"\n255\n", at) + 5
        num_bytes = 3 * width * height
        frame = np.frombuffer(data, np.uint8, num_bytes, at).reshape(height, width, 3)
        frames.append(frame)
        at += num_bytes
    return frames
