"""Try the job on a small library that is made for it.

Makes FOLDER/library (videos with a picture, several tracks, a long one, a broken one) from
synthetic sounds, runs the job on it, and says how close each stem is to the sound that was mixed
in. With --recordings there are two films of real sounds more. Run again, it makes nothing again.
"""

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import separate
from jobs.command import OK, SOME_FAILED, Command
from jobs.demo_library import (
    BROKEN,
    RECORDED,
    SYNTHETIC,
    Scene,
    fetch_recordings,
    make_library,
    mix_scene,
)

if TYPE_CHECKING:
    import numpy as np

CONFIG = Path(__file__).with_suffix(".yaml")
# Query (jobs/demo.yaml) -> the kinds of sound it means.
MEANT = {"speech": ("man", "woman"), "siren": ("siren",), "rain": ("rain",), "drums": ("drums",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", default="demo", type=Path, metavar="FOLDER", help="(demo)"
    )
    parser.add_argument(
        "--recordings",
        action="store_true",
        help="bring recordings from packages of Debian (42 MB, by apt-get); "
        "goes on without them if they cannot be had",
    )


def run(options: argparse.Namespace) -> int:
    library, output = options.folder / "library", options.folder / "output"
    recordings = options.folder / "recordings"
    print(f"making {library} ...", flush=True)
    separate.require_ffmpeg()
    scenes = dict(SYNTHETIC)
    if options.recordings and fetch_recordings(recordings, show):
        scenes |= RECORDED
    make_library(library, scenes, recordings)
    code = separate.separate(CONFIG, [f"input.uri={library}", f"output.uri={output}"])
    if code not in (OK, SOME_FAILED):
        return code
    print()
    print_closeness(output, scenes, recordings)
    print(f"\n{BROKEN} is meant to fail: its record says why.")
    print(f"Look and listen: {output}/report/index.html")
    return OK


def show(line: str) -> None:
    print(textwrap.fill(line, 80, subsequent_indent="  ", break_on_hyphens=False), flush=True)


def print_closeness(output: Path, scenes: dict[str, Scene], recordings: Path) -> None:
    """Print a row for each stem of a sound that was mixed in."""
    from separator.audio.metrics import compute_sdr_db

    print(f"{'asset':24}{'track':>6}  {'query':8}{'SDR before':>12}{'after':>8}")
    for name, scene in scenes.items():
        for index, (_, kinds) in enumerate(scene.tracks):
            mixture_T, truth = mix_scene(scene, kinds, recordings)
            for query, meant in MEANT.items():
                if not (found := [truth[kind] for kind in kinds if kind in meant]):
                    continue
                row = f"{name:24}{index:6}  {query:8}"
                stem_T = read_stem(output / "stems" / name / f"track-{index}" / f"{query}.flac")
                if stem_T is None:
                    print(f"{row}{'no stem':>12}")
                    continue
                length = min(len(stem_T), len(mixture_T))
                before, after = (
                    round(float(compute_sdr_db(x[:length], found[0][:length])), 1) + 0.0  # no -0.0
                    for x in (mixture_T, stem_T)
                )
                print(f"{row}{before:9.1f} dB{after:5.1f} dB")


def read_stem(path: Path) -> "np.ndarray | None":
    """Read a stem (T,), its channels averaged; return None if its asset failed or it is gone."""
    import soundfile

    try:
        return soundfile.read(path, dtype="float32", always_2d=True)[0].mean(1)
    except soundfile.LibsndfileError:
        return None


DEMO = Command("demo", "jobs.demo", __doc__, add_arguments, run, example="demo --recordings")
main = DEMO.main

if __name__ == "__main__":
    sys.exit(main())
