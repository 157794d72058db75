"""Measure decoding, encoding and the cost per file in CPU time of this process and of its children:
the decoder, which lives on from file to file, and ffmpeg.

CPU time depends less than the clock on other work on the machine.

    python benchmarks/media.py [--seconds 600] [--files 200]
"""

import argparse
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from separator.audio.format import AudioFormat
from separator.media.decode import decode
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.ffmpeg import run
from separator.media.limits import Limits
from separator.media.probe import probe

HZ = 48_000
STEREO = AudioFormat(HZ, 2)


def make_music(seconds: float) -> np.ndarray:
    """Make stereo chords over a noise floor (C, T), for encoders to compress as music."""
    rng = np.random.default_rng(0)
    times_s = np.arange(int(seconds * HZ), dtype=np.float64) / HZ
    signal_CT = 0.02 * rng.standard_normal((2, len(times_s)))
    for hz in (110, 220, 277.2, 329.6, 1760):
        phase = rng.uniform(0, 6, (2, 1))
        signal_CT += 0.08 * np.sin(2 * np.pi * hz * times_s + phase)
    return signal_CT.astype(np.float32)


def measure(work: Callable[[], object]) -> tuple[float, float, float]:
    """Return (CPU seconds of this process, CPU seconds of its children, seconds by the clock)."""
    own_s, children_s, started = time.process_time(), count_children_s(), time.perf_counter()
    work()
    elapsed_s = time.perf_counter() - started
    return time.process_time() - own_s, count_children_s() - children_s, elapsed_s


def count_children_s() -> float:
    """Count the CPU seconds of child processes: of those that have ended, and of those alive."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return ended.ru_utime + ended.ru_stime + sum(each.user + each.system for each in alive)


def read_all(path: Path) -> int:
    media = probe(path)
    return sum(block.shape[1] for block in decode(path, media, media.tracks[0]))


def report_speeds(folder: Path, seconds: float) -> None:
    print(f"{'48 kHz stereo, times real time':34}{'per core':>12}{'here s':>10}{'children s':>12}")
    signal_CT = make_music(60)
    repeats = max(1, round(seconds / 60))
    total_s = 60 * repeats
    settings = [("wav", 24), ("flac", 16), ("flac", 24), ("m4a", 24), ("mp3", 24), ("ogg", 24)]
    for form, bits in settings:
        path = folder / f"x{bits}.{form}"

        def work(path: Path = path, form: str = form, bits: int = bits) -> None:
            encode([signal_CT] * repeats, path, STEREO, settings=EncodeSettings(form, bits))

        show_speed(f"encode {form} {bits if form in ('wav', 'flac') else ''}", total_s, work)
    for form, bits in settings:
        path = folder / f"x{bits}.{form}"
        show_speed(f"decode {path.name}", total_s, lambda path=path: read_all(path))


def show_speed(name: str, total_s: float, work: Callable[[], object]) -> None:
    own_s, children_s, _ = measure(work)
    print(f"{name:34}{total_s / (own_s + children_s):>12.0f}{own_s:>10.2f}{children_s:>12.2f}")


def report_files(folder: Path, count: int) -> None:
    """Report the cost of a small file, and how much of it the start of ffmpeg takes."""
    first = folder / "0.flac"
    encode([make_music(0.5)], first, STEREO, settings=EncodeSettings("flac", 16))
    paths = [first, *(folder / f"{i}.flac" for i in range(1, count))]
    for path in paths[1:]:
        shutil.copyfile(first, path)
    limits, some = Limits(), paths[:100]
    titles = f"{'files':>8}{'ms CPU':>10}{'here ms':>10}{'clock ms':>10}"
    print(f"\n{'files of half a second':34}{titles}")
    steps: list[tuple[str, list[Path], Callable[[Path], object]]] = [
        ("ffmpeg -version", some, lambda p: run(["ffmpeg", "-version"], p, limits, 1 << 20)),
        ("ffprobe -version", some, lambda p: run(["ffprobe", "-version"], p, limits, 1 << 20)),
        ("probe", some, probe),
        ("probe + decode", paths, read_all),
    ]
    for name, chosen, step in steps:
        own_s, children_s, elapsed_s = measure(lambda c=chosen, s=step: [s(path) for path in c])
        figures = (own_s + children_s, own_s, elapsed_s)
        columns = "".join(f"{1e3 * seconds / len(chosen):>10.1f}" for seconds in figures)
        print(f"{name:34}{len(chosen):>8}{columns}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--files", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {platform.system()}")
    with tempfile.TemporaryDirectory() as name:
        report_speeds(Path(name), arguments.seconds)
        report_files(Path(name), arguments.files)


if __name__ == "__main__":
    main()
