"""Make films with picture, subtitles and chapters, and check that their sound is in sync."""

import hashlib
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from separator.media.probe import probe
from tests.helpers import media_files as make
from tests.helpers.media_files import HZ

CLICKS = [30_000, 60_000]
CHAPTERS = (
    ";FFMETADATA1\ntitle=The film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=900\nEND=2000\ntitle=Two\n"
)


def make_film(path: Path, offset_s: float = 0.0) -> Path:
    """Make a film of two tracks with clicks, one of them German, with subtitles and chapters."""
    path.write_bytes(encode_film(path.suffix, offset_s))
    return path


@cache
def encode_film(suffix: str, offset_s: float) -> bytes:
    """Encode each kind of film once for all tests of a process."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"film{suffix}"
        encode(path, offset_s)
        return path.read_bytes()


def encode(path: Path, offset_s: float) -> None:
    folder = path.parent
    (folder / "x.srt").write_text("1\n00:00:00,100 --> 00:00:01,000\nhello\n")
    (folder / "x.txt").write_text(CHAPTERS)
    picture = make.write_picture(folder / "picture.mp4")
    dvd = path.suffix in (".vob", ".mpg")
    clicks = make.make_clicks(CLICKS, 2 * HZ)
    sound = make.write(folder / "clicks.wav", clicks, "-c:a", "pcm_s16le", layout="mono")
    inputs = ["-i", picture, "-itsoffset", offset_s, "-i", sound, "-itsoffset", 0, "-i", sound]
    inputs += ["-i", folder / "x.srt", "-i", folder / "x.txt"]
    bare = dvd or path.suffix == ".ts"
    maps = ["-map", 0, "-map", 1, "-map", 2, *([] if bare else ["-map", 3]), "-map_metadata", 4]
    names = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng"]
    names += ["-metadata:s:a:0", "title=Ton"]
    subtitles = ["-c:s", "mov_text"] if path.suffix in (".mp4", ".mov") else []
    codecs = ["-c:v", "copy", "-c:a", "aac"]
    if dvd:
        codecs = ["-c:v", "mpeg2video", "-bf", 2, "-c:a", "ac3" if path.suffix == ".vob" else "mp2"]
    make.start(*inputs, *maps, *codecs, *subtitles, *names, path)


def hash_packets(path: Path, stream: str) -> str:
    """Hash the packets of a stream, without container and times, as ffmpeg copies them."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", f"0:{stream}", "-c", "copy"]
    is_h264 = stream == "v:0" and make.ask(path)["streams"][0]["codec_name"] == "h264"
    bitstream = ["-bsf:v", "h264_mp4toannexb"] if is_h264 else []
    done = subprocess.run(
        [*command, *bitstream, "-f", "data", "-"], capture_output=True, check=True
    )
    return hashlib.sha256(done.stdout).hexdigest()


def check_sync(
    source: Path, output: Path, most: int, offset_s: float = 0.0, first_sign: int = -1
) -> None:
    """Check that clicks lie where they were against the picture, to `most` samples, in both
    tracks, or the only one; `first_sign` is -1 if the first was inverted."""
    before, after = probe(source), probe(output)
    assert before.zero_s is not None and after.zero_s is not None
    moved = (picture_times(output) - after.zero_s) - (picture_times(source) - before.zero_s)
    assert np.ptp(moved) <= 0.00101  # pictures among each other
    tracks = ((0, first_sign, round(offset_s * HZ)), (1, 1, 0))
    for index, sign, late in tracks[: len(before.tracks)]:
        old_CT, _ = make.read(source, index)
        new_CT, _ = make.read(output, index)
        for at in CLICKS:
            near = make.find_click(old_CT, at + late, 6000)
            found = make.find_click(sign * new_CT, near + round(moved[0] * HZ), 2000)
            assert abs(found - near - moved[0] * HZ) <= most + 1, (index, at)


def picture_times(path: Path) -> np.ndarray:
    # An mpg has no times of its B-frames: ffprobe counts them.
    entries = ("-fflags", "+genpts", "-select_streams", "v", "-show_entries", "packet=pts_time")
    return np.sort([float(packet["pts_time"]) for packet in make.ask(path, *entries)["packets"]])
