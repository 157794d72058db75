"""Damage small media files at random and extract them as a run does: every outcome must be typed.

    .venv/bin/python tools/fuzz.py FOLDER [--inputs 2000] [--first 0] [--seed 25]

Makes one file of each container in FOLDER/whole, damages copies (truncation, flipped bits, bytes
cut out, doubled, zeroed, or spliced in from another file), and lets the extract stage probe, decode
and cut each one. Prints how often each outcome occurred. Inputs that showed a fault stay in FOLDER,
and the program then ends with 1. An input depends only on the seed and its number, so
`--first NUMBER --inputs 1` makes it again. Only ffmpeg limits memory, so the program prints how
much the extracting process has grown.
"""

import argparse
import resource
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from separator.media.limits import Limits
from separator.results.paths import Layout
from separator.rows import STEM, Asset, Failed, SpanRow, WorkItem
from separator.stages.extract import Extractor, SpanPlan
from separator.storage import Storage

RATES_HZ = {"amr": 8000, "voc": 22050, "rm": 8000, "gsm": 8000, "dv": 48000, "opus": 48000}
SOUND = {
    "wav": ["pcm_s16le"], "aiff": ["pcm_s16be"], "au": ["pcm_mulaw"], "caf": ["pcm_s24le"],
    "w64": ["pcm_s16le"], "voc": ["pcm_u8"], "sox": ["pcm_s32le"], "flac": ["flac"],
    "mp3": ["libmp3lame"], "mp2": ["mp2"], "m4a": ["aac"], "aac": ["aac"], "ac3": ["ac3"],
    "eac3": ["eac3"], "ogg": ["libvorbis"], "opus": ["libopus"], "oga": ["flac"],
    "mka": ["libvorbis"], "wma": ["wmav2"], "wv": ["wavpack"], "tta": ["tta"], "thd": ["truehd"],
    "rm": ["real_144", "-ac", "1"],
}  # fmt: skip
FILMS = {
    "mp4": ["libx264", "aac"], "mov": ["mjpeg", "pcm_s16le"], "mkv": ["libx264", "flac"],
    "webm": ["libvpx", "libopus"], "ts": ["libx264", "aac"], "mpg": ["mpeg2video", "mp2"],
    "vob": ["mpeg2video", "ac3"], "avi": ["mpeg4", "mp3"], "flv": ["flv", "aac"],
    "wmv": ["wmv2", "wmav2"], "mxf": ["mpeg2video", "pcm_s16le"], "nut": ["mpeg4", "pcm_s16le"],
}  # fmt: skip
PICTURE = "testsrc=size=64x48:rate=25:duration=0.6"
PLAN = SpanPlan(2.0, Fraction("0.5"), Fraction("0.32"))
LIMITS = Limits(max_duration_s=600.0)


def write_whole(folder: Path) -> list[Path]:
    """Write a file of each container that this ffmpeg can write."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, codecs in {**SOUND, **FILMS}.items():
        path = folder / f"whole.{suffix}"
        hz = RATES_HZ.get(suffix, 44_100 if suffix in SOUND else 48_000)
        inputs = ["-f", "lavfi", "-i", f"aevalsrc=sin(440*t*6.28)|random(0):s={hz}:d=0.6"]
        options = ["-c:a", *codecs, "-strict", "-2"]
        if suffix in FILMS:
            inputs += ["-f", "lavfi", "-i", PICTURE]
            options = ["-c:v", codecs[0], "-c:a", codecs[1], "-pix_fmt", "yuv420p"]
            options += ["-pix_fmt", "yuvj420p"] if codecs[0] == "mjpeg" else []
        command = ["ffmpeg", "-v", "error", "-y", *inputs, *options, "-bitexact", str(path)]
        if subprocess.run(command, capture_output=True).returncode == 0:
            paths.append(path)
    return paths


def damage(paths: list[Path], seed: int, number: int) -> tuple[Path, bytes]:
    """Return the undamaged file and the damaged bytes of one input."""
    rng = np.random.default_rng([seed, number])
    path = paths[number % len(paths)]
    data = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 4)):
        start, count = _choose_stretch(rng, len(data))
        match rng.integers(7):
            case 0:
                del data[start:]
            case 1:
                for at in rng.integers(len(data), size=rng.integers(1, 30)) if data else ():
                    data[at] ^= 1 << rng.integers(8)
            case 2:  # headers are at the start
                for at in rng.integers(min(400, len(data)), size=3) if data else ():
                    data[at] = rng.choice([0, 1, 127, 128, 254, 255])
            case 3:
                del data[start : start + count]
            case 4:
                data[start:start] = data[start : start + count]
            case 5:
                data[start : start + count] = bytes(count)
            case _:
                other = paths[rng.integers(len(paths))].read_bytes()
                at, count = _choose_stretch(rng, len(other))
                data[start : start + count] = other[at : at + count]
    return path, bytes(data)


def _choose_stretch(rng: np.random.Generator, num_bytes: int) -> tuple[int, int]:
    start = int(rng.integers(num_bytes + 1))
    return start, int(min(num_bytes - start, 2 ** rng.uniform(0, 14)))


@dataclass
class Tally:
    """The outcomes of many inputs."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)  # (input, traceback)
    grown_bytes: int = 0  # memory of the extracting process since the first input


def extract(extractor: Extractor, path: Path) -> str:
    """Extract one file; return its outcome: codes of failures, `ok`, or `repaired`."""
    items = (WorkItem("0" * 32, STEM, "a", "an a"),)
    entry = extractor.storage.stat(str(path))
    modified_at = entry.modified_at.isoformat()
    asset = Asset(str(path), path.name, entry.etag, entry.num_bytes, modified_at, items)
    outcomes, stops = set(), Counter[int]()
    for row in extractor(asset):
        if isinstance(row, Failed):
            outcomes.add(row.code)
            assert row.detail and "\n" not in row.detail and len(row.detail) < 2000, row.detail
            assert row.code not in ("error", "bad_media", "decoder_hung"), row.detail
            continue
        assert isinstance(row, SpanRow)
        outcomes.add("repaired" if row.repairs else "ok")
        samples = np.asarray(row.samples)
        assert samples.dtype == np.float32 and len(samples) == row.track.num_channels
        assert row.core_start == stops[row.track.index] < row.core_stop, row
        assert row.core_stop <= row.start + samples.shape[1], row
        stops[row.track.index] = row.core_stop
    assert outcomes, "no outcome"
    return " + ".join(sorted(outcomes))


def run_input(folder: Path, paths: list[Path], seed: int, number: int) -> tuple[str, int]:
    """Make and extract one input; return its outcome and this process's largest memory so far."""
    whole_path, data = damage(paths, seed, number)
    path = folder / f"{number}{whole_path.suffix}"
    path.write_bytes(data)  # stays there if the next line fails
    extractor = Extractor(Storage(), Layout(str(folder / "out"), "flac"), PLAN, limits=LIMITS)
    outcome = extract(extractor, path)
    path.unlink()
    return outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(folder: Path, numbers: range, seed: int) -> Iterator[Tally]:
    """Yield the outcomes so far after each input; one process works through all of them."""
    paths = write_whole(folder / "whole")
    tally, first_bytes = Tally(), 0
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    for number in numbers:
        job = pool.submit(run_input, folder, paths, seed, number)
        if error := job.exception(timeout=3 * LIMITS.stall_s):
            outcome = "FAULT"
            tally.faults.append((number, "".join(traceback.format_exception(error))))
        else:
            outcome, peak_bytes = job.result()
            first_bytes = first_bytes or peak_bytes
            tally.grown_bytes = peak_bytes - first_bytes
        tally.counts[outcome] += 1
        yield tally
    pool.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=25)
    given = parser.parse_args()
    tally = Tally()
    for tally in fuzz(given.folder, range(given.first, given.first + given.inputs), given.seed):
        if (done := sum(tally.counts.values())) % 100 == 0:
            print(f"{done}: {dict(tally.counts.most_common())}", flush=True)
    for outcome, count in tally.counts.most_common():
        print(f"{count:6} {outcome}")
    print(f"{tally.grown_bytes / 1e6:6.0f} MB of growth in memory")
    for number, reason in tally.faults:
        print(f"input {number}: {reason}")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
