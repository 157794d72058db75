"""Try the job on a small library that is made for it.

Makes FOLDER/library (videos with a picture, several tracks, a long one, a broken one) from
synthetic sounds, runs the job on it, and says how close each stem is to the sound that was mixed
in. Run again, it makes nothing again.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import separate
from jobs.command import OK, SOME_FAILED, Command

if TYPE_CHECKING:
    import numpy as np

RATE_HZ = 32_000
CONFIG = Path(__file__).parents[1] / "configs" / "demo.yaml"
SEED = 2_000_000  # of sounds the bundled model was not trained on
# file -> seconds, and per track its language and what is mixed in it
LIBRARY: dict[str, tuple[float, list[tuple[str, tuple[str, ...]]]]] = {
    "street.mp4": (10, [("eng", ("man", "siren", "rain"))]),
    "news/two languages.mkv": (10, [("eng", ("woman", "siren")), ("deu", ("man", "siren"))]),
    "garden.mov": (8, [("eng", ("rain", "bird"))]),
    "radio.m4a": (12, [("eng", ("man", "drums"))]),
    "long.mkv": (180, [("eng", ("siren", "rain"))]),
}
# Query (configs/demo.yaml) -> the kinds of sound it means.
MEANT = {"speech": ("man", "woman"), "siren": ("siren",), "rain": ("rain",), "drums": ("drums",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", default="demo", type=Path, metavar="FOLDER", help="(demo)"
    )


def run(options: argparse.Namespace) -> int:
    library, output = options.folder / "library", options.folder / "output"
    print(f"making {library} ...", flush=True)
    separate.require_ffmpeg()
    make_library(library)
    code = separate.separate(CONFIG, [f"input.uri={library}", f"output.uri={output}"])
    if code not in (OK, SOME_FAILED):
        return code
    print()
    print_closeness(output)
    print("\nbroken.mp4 is meant to fail: its record says why.")
    print(f"Look and listen: {output}/report/index.html")
    return OK


def make_library(folder: Path) -> None:
    """Make the files that are missing; a second run finds nothing new."""
    for name, (seconds, tracks) in LIBRARY.items():
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_file(path, seconds, tracks)
    broken = folder / "broken.mp4"
    if not broken.exists():
        whole = (folder / "street.mp4").read_bytes()
        broken.write_bytes(whole[: len(whole) // 3])


def make_file(path: Path, seconds: float, tracks: list[tuple[str, tuple[str, ...]]]) -> None:
    import ffmpeg
    import soundfile

    from separator.media.ffmpeg import QUIET, run
    from separator.media.limits import Limits
    from separator.storage.atomic import replacing

    with tempfile.TemporaryDirectory() as name, replacing(path) as temporary:
        streams = []
        if path.suffix != ".m4a":
            picture = f"testsrc2=size=320x180:rate=25:duration={seconds}"
            streams.append(ffmpeg.input(picture, format="lavfi"))
        # A mkv does not say how much of aac's beginning is padding, so it could not be compared.
        codec = "flac" if path.suffix == ".mkv" else "aac"
        options: dict[str, object] = {"acodec": codec, "vcodec": "mpeg4", "audio_bitrate": "160k"}
        for index, (language, kinds) in enumerate(tracks):
            wav = Path(name) / f"{index}.wav"
            soundfile.write(wav, mix_track(kinds, seconds)[0], RATE_HZ)
            streams.append(ffmpeg.input(str(wav)))
            options[f"metadata:s:a:{index}"] = f"language={language}"
        muxer = {".mkv": "matroska", ".m4a": "ipod"}.get(path.suffix, path.suffix[1:])
        output = ffmpeg.output(*streams, str(temporary), format=muxer, **options)
        command = output.global_args(*QUIET).overwrite_output().compile()
        run(command, path, Limits(), max_bytes=1 << 20)


def mix_track(kinds: tuple[str, ...], seconds: float) -> "tuple[np.ndarray, dict[str, np.ndarray]]":
    """The mixture (T,), and by kind the sound that was mixed in."""
    import numpy as np

    from separator.sounds.catalog import make_sound
    from separator.train.mixer import declip, match_energy

    num_samples = round(seconds * RATE_HZ)
    sounds = [make_sound(kind, SEED, num_samples, held_out=True) for kind in kinds]
    sounds = [match_energy(sound_T, sounds[0], 0.0) for sound_T in sounds]
    mixture_T, *sounds = declip(np.sum(sounds, 0), *sounds)
    return mixture_T, dict(zip(kinds, sounds, strict=True))


def print_closeness(output: Path) -> None:
    import soundfile

    from separator.audio.metrics import compute_sdr_db

    print(f"{'asset':24}{'track':>6}  {'query':8}{'SDR before':>12}{'after':>8}")
    for name, (seconds, tracks) in LIBRARY.items():
        for index, (_, kinds) in enumerate(tracks):
            mixture_T, truth = mix_track(kinds, seconds)
            for query, meant in MEANT.items():
                if not (found := [truth[kind] for kind in kinds if kind in meant]):
                    continue
                path = output / "stems" / name / f"track-{index}" / f"{query}.flac"
                stem_T = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(1)
                length = min(len(stem_T), len(mixture_T))
                before, after = (
                    compute_sdr_db(x[:length], found[0][:length]) for x in (mixture_T, stem_T)
                )
                print(f"{name:24}{index:6}  {query:8}{before:9.1f} dB{after:5.1f} dB")


DEMO = Command("demo", "jobs.demo", __doc__, add_arguments, run, example="demo")
main = DEMO.main

if __name__ == "__main__":
    sys.exit(main())
