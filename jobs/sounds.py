"""Render the generator's sounds to a folder, or download real recordings.

Training and evaluation read the list, FOLDER/sounds.jsonl. With `real` before the folder nothing
is rendered: the public packages of the project's list are downloaded through apt-get and npm,
decoded, and listed in FOLDER/train.jsonl, held_out.jsonl (packages kept from training) and
more.jsonl (kinds that `mini` has no word for). Existing files are kept.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.command import OK, SOME_FAILED, Command, check_least, say
from separator.errors import RequestError

if TYPE_CHECKING:
    from separator.sounds.bank import BankFile

RATE_HZ = 32_000
LONGEST_S = 3_600.0
BANK_MINUTES = 1.5  # minutes rendered of each voice and instrument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "real",
        nargs="?",
        choices=("real",),
        help="download real recordings; of the options below only --classes and --packages count",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="gets sounds and sounds.jsonl")
    parser.add_argument("--takes", type=int, default=100, help="sounds of each class (100)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a sound (10)")
    parser.add_argument("--first-seed", type=int, default=0, help="another seed: other sounds (0)")
    parser.add_argument("--held-out", action="store_true", help="voices kept from training")
    parser.add_argument(
        "--bank",
        type=Path,
        help="folder of speech and music by espeak-ng and fluidsynth; built once",
    )
    parser.add_argument("--classes", help="kinds of sounds: siren,dog (all)")
    parser.add_argument("--packages", help="of real: a,b,c (all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="(one per CPU)")


def run(options: argparse.Namespace) -> int:
    from separator.storage.atomic import take_folder

    if options.folder == Path("real") and not options.real:
        raise RequestError("name a folder for the recordings: separator sounds real FOLDER")
    options.folder = take_folder(options.folder)
    if options.real:
        return fetch_real(options)
    render(options)
    return OK


def fetch_real(options: argparse.Namespace) -> int:
    """Download the chosen recordings; list all recordings that are in the folder then."""
    from separator.sounds import real, recordings

    listed = recordings.read_recordings()
    training, held_out = recordings.choose_for_training(listed), recordings.choose_held_out(listed)
    chosen = [*training, *held_out]
    for name, wanted in (("package", options.packages), ("kind", options.classes)):
        wanted = wanted.split(",") if wanted else []
        held = {getattr(recording, name) for recording in listed}
        if unknown := [one for one in wanted if one not in held]:
            raise RequestError(f"{unknown[0]!r} is none of {', '.join(sorted(held))}")
        chosen = [r for r in chosen if not wanted or getattr(r, name) in wanted]
    if not chosen:
        raise RequestError(
            f"--packages {options.packages or 'all'} --classes {options.classes or 'all'}: no "
            "recording to download; kinds with enough recordings of trust A get none of trust B"
        )
    left_out = real.fetch_recordings(chosen, options.folder, RATE_HZ, show=say)
    for name, number in real.write_lists(options.folder, training, held_out).items():
        print(f"{options.folder / name}.jsonl: {number:,} recordings")
    return SOME_FAILED if left_out else OK


def render(options: argparse.Namespace) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from separator.config_file import check_number
    from separator.sounds.bank import FOLDER_VARIABLE
    from separator.sounds.catalog import CLASSES
    from separator.sounds.kind_names import list_synonyms
    from separator.storage.atomic import write_whole

    check_least(options, takes=1, first_seed=0, processes=1)
    check_number("--seconds", options.seconds, 0.5, LONGEST_S)
    names = options.classes.split(",") if options.classes else list(CLASSES)
    if unknown := [name for name in names if name not in CLASSES]:
        raise RequestError(f"--classes: {unknown[0]!r} is none of {', '.join(CLASSES)}")
    check_settings(options.folder, options)
    if options.bank:
        fill_bank(options.bank, options.processes)
        os.environ[FOLDER_VARIABLE] = str(options.bank.resolve())  # read by the processes below
    num_samples = round(options.seconds * RATE_HZ)
    seeds = range(options.first_seed, options.first_seed + options.takes)
    jobs = [
        (options.folder / f"{name}-{seed:06}.wav", name, seed, num_samples, options.held_out)
        for name in names
        for seed in seeds
    ]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(render_sound, jobs, chunksize=16), start=1):
            if done % 500 == 0 or done == len(jobs):
                print(f"{done} of {len(jobs)} sounds", flush=True)
    lines = []
    for path, name, seed, _, _ in jobs:
        sound = CLASSES[name]
        more = [] if options.held_out else list_synonyms(name)
        row = {"audio": path.name, "captions": [*sound.captions, *more], "kind": name}
        row |= {"group": sound.group, "paraphrases": sound.paraphrases, "seed": seed}
        lines.append(json.dumps(row) + "\n")
    write_whole(options.folder / "sounds.jsonl", "".join(lines).encode())


def check_settings(folder: Path, options: argparse.Namespace) -> None:
    """Refuse a folder with sounds of other settings, because existing sounds are kept."""
    from separator.storage.atomic import make_folder, write_whole

    make_folder(folder)
    path = folder / "settings.json"
    own = {
        "seconds": options.seconds,
        "held_out": options.held_out,
        "bank": options.bank is not None,
    }
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        found = own
    except ValueError as error:
        raise RequestError(f"{path}: is no JSON ({error}); take another folder") from None
    if found != own:
        raise RequestError(
            f"{path}: the sounds there were made with {found}, not with {own}; take another folder"
        )
    write_whole(path, json.dumps(own).encode())


def fill_bank(folder: Path, processes: int) -> None:
    """Render the voices and instruments that are missing, for training and held out."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from separator.sounds.bank import list_parts, write_index

    parts = [part for held_out in (False, True) for part in list_parts(held_out)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        list(pool.map(render_part, [(folder, part) for part in parts]))
    write_index(folder)
    print(f"{folder}: {len(parts)} voices and instruments", flush=True)


def render_part(job: "tuple[Path, BankFile]") -> None:
    from separator.sounds.bank import build_part

    build_part(*job, seed=0, minutes=BANK_MINUTES)


def render_sound(job: tuple[Path, str, int, int, bool]) -> None:
    """Render one sound; a file that is there already is kept."""
    from separator.sounds.catalog import make_sound
    from separator.sounds.real import write_sound

    path, name, seed, num_samples, held_out = job
    if path.exists():
        return
    write_sound(path, make_sound(name, seed, num_samples, RATE_HZ, held_out), RATE_HZ)


SOUNDS = Command(
    "sounds", "jobs.sounds", __doc__, add_arguments, run,
    example="sounds/train --takes 120 --seconds 6",
)  # fmt: skip
main = SOUNDS.main

if __name__ == "__main__":
    sys.exit(main())
