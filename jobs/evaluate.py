"""Measure a model on a list of cases, or by a benchmark.

A protocol: a file of configs/eval, then key=value: AudioSep's six sets, DCASE 2024 Task 9,
Voicebank-DEMAND, CLIPSep's two, MUSDB18, DESED (detectors), and `bundled`, which needs no data.

A list: SDR, SDRi and SI-SDR per kind of sound, as Parquet, a table and a picture. Cases come from
CASES.csv or CASES.parquet with the columns mixture, target, query (and kind), or are mixed from a
list of held-out sounds (`separator sounds --held-out`).

A benchmark: `musdb18` DATA OUT or `audioset` LIST OUT, then key=value. It prints a table beside the
published figures and writes Parquet; finished parts are not computed again.
"""

import argparse
import math
import sys
from pathlib import Path

from jobs.command import OK, SOME_FAILED, Command, check_least, say
from separator.errors import RequestError, check_installed

MAX_SHOWN = 5  # cases that are left out
MAX_LEVEL_DB = 100
BENCHMARKS = ("musdb18", "audioset")
# Options that only a list of cases reads, with their defaults.
OF_LISTS = {
    "per_kind": 10, "style": "caption", "levels": [0.0], "sounds": 2, "examples": 0, "seconds": 5.0,
    "seed": 1,
}  # fmt: skip
KEYS = """\
keys of protocols (CONFIG.yaml first):
  model              a separator, or several: model=[mini,audiosep]
  data, lists        the folder of the sounds, and the folder of the official lists
  output             the folder for the table, scores.parquet, classes.parquet, pictures
  query              what is asked: query=label,caption compares them on the same cases
  also               a table of your own with more columns: paraphrase, sound, image, video
  pictures           number of cases to draw spectrograms of
  more               metrics beside the protocol's: bss, clap, dnsmos, fad, speech
  judge              a model whose encoder computes clap and fad for all models
keys of the benchmarks:
  model              a separator, or several: [full.ckpt, held_out.ckpt]
  detector           encodes example sounds to conditions: stsed, a path, s3://...
  mode               musdb18: paper or community
  queries            musdb18: a folder with train/, or queries-*.npz of an earlier run
  num_queries        musdb18: training songs that queries come from (90)
  wiener             musdb18, mode=paper: false leaves the joint Wiener step out
  audio, class_list  audioset: the folder of sounds, class_labels_indices.csv
  classes            audioset: all or held_out (the ten classes of the paper)
  pairs, seed        audioset: how many pairs are drawn (a twentieth), and which
  limit              songs or pairs, for a first try
  precision          fp32, bf16 or auto (fp32)
  storage.*          as in a job's config"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        help="a name, or the path of a checkpoint; or musdb18, audioset: a benchmark; "
        "or CONFIG.yaml: a protocol, key=value alone follows",
    )
    parser.add_argument(
        "cases",
        nargs="?",
        default="",
        help="CASES.csv, CASES.parquet or sounds.jsonl; or the benchmark's data",
    )
    parser.add_argument(
        "out", nargs="?", default="", help="folder for scores.parquet and scores.png"
    )
    parser.add_argument(
        "settings",
        nargs="*",
        default=[],
        metavar="key=value",
        help="keys of a protocol or benchmark, see below",
    )
    parser.add_argument("--actors", type=int, default=1, help="models side by side (1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    listed = parser.add_argument_group("of a list of cases")
    listed.add_argument("--per-kind", type=int, help="cases mixed for each kind (10)")
    listed.add_argument(
        "--style",
        choices=("caption", "paraphrase", "absent"),
        help="of queries: as in training, in other words, or for an absent sound (caption)",
    )
    listed.add_argument("--levels", type=parse_levels, help="dB of the other sounds: 0,-10,10 (0)")
    listed.add_argument("--sounds", type=int, help="sounds in a mixture (2)")
    listed.add_argument(
        "--examples", type=int, help="example sounds as a query, in place of words (0)"
    )
    listed.add_argument("--seconds", type=float, help="length of a mixture (5)")
    listed.add_argument("--seed", type=int, help="another seed: other mixtures (1)")
    parser.set_defaults(**OF_LISTS)


def parse_levels(text: str) -> list[float]:
    try:
        levels_db = [float(level_db) for level_db in text.split(",")]
    except ValueError:
        levels_db = [math.nan]
    if not all(abs(level_db) <= MAX_LEVEL_DB for level_db in levels_db):
        raise argparse.ArgumentTypeError(
            f"{text!r}: numbers with commas, such as 0,-10, of {MAX_LEVEL_DB} dB at most"
        )
    return levels_db


def run(options: argparse.Namespace) -> int:
    if options.model.lower().endswith((".yaml", ".yml")):
        run_file(options)
        return OK
    if not options.out:
        raise RequestError("needed are MODEL CASES OUT, or CONFIG.yaml with key=value behind it")
    from separator.storage.atomic import take_folder

    options.out = take_folder(options.out)
    if options.model in BENCHMARKS:
        run_benchmark(options)
        return OK
    if options.settings:
        raise RequestError(
            f"{options.settings[0]!r}: keys are of benchmarks: {', '.join(BENCHMARKS)}; "
            "a list of cases takes options such as --seed"
        )
    return evaluate(options)


def refuse_of_lists(
    options: argparse.Namespace, why: str = "is of a list of cases; here it is key=value"
) -> None:
    """Refuse options that apply only to mixing cases."""
    for name, default in OF_LISTS.items():
        if (value := getattr(options, name)) != default:
            option = "--" + name.replace("_", "-")
            raise RequestError(f"{option} {value}: {why}")


def run_file(options: argparse.Namespace) -> None:
    """Run the protocol or the benchmark that a file describes."""
    refuse_of_lists(options)
    check_installed("matplotlib", "train")  # for the pictures at the end
    say("reading the data ...")
    from separator.evaluation.protocol_files import read_protocol

    given = [f"actors={options.actors}"] if options.actors > 1 else []
    given += [f"device={options.device}"] if options.device != "auto" else []
    given += [each for each in (options.cases, options.out, *options.settings) if each]
    print(read_protocol(Path(options.model), given)(say))


def run_benchmark(options: argparse.Namespace) -> None:
    """Run a benchmark of a paper, and print its table."""
    refuse_of_lists(options)
    say("reading the data ...")
    from separator.config_file import read_overrides

    given = [f"actors={options.actors}", f"device={options.device}", *options.settings]
    if options.model == "musdb18":
        from separator.evaluation.musdb18 import MusdbSettings, run_musdb18

        settings = read_overrides(MusdbSettings, given)
        table = run_musdb18(options.cases, options.out, settings, say)
    else:
        from separator.evaluation.audioset import AudiosetSettings, run_audioset

        settings = read_overrides(AudiosetSettings, given)
        table = run_audioset(options.cases, options.out, settings, say)
    print(table)


def evaluate(options: argparse.Namespace) -> int:
    """Score a model on a list of cases; leave out cases with an unreadable or silent sound."""
    check_least(options, actors=1, per_kind=1, sounds=2, examples=0, seconds=0.1, seed=0)
    check_installed("matplotlib", "train")  # for the pictures at the end
    say("reading the cases ...")
    from functools import partial

    from separator.evaluation.benchmark import write_rows
    from separator.evaluation.cases import Case, MixSettings
    from separator.evaluation.listed import (
        draw,
        lay_out_kinds,
        list_cases,
        make_scorer,
        part_troubles,
        summarize,
    )
    from separator.evaluation.over_units import Unit, score_units
    from separator.train.outputs import check_file

    mixing = MixSettings(
        options.per_kind,
        options.style,
        tuple(options.levels),
        options.sounds,
        options.seconds,
        options.seed,
        options.examples,
    )
    cases = list_cases(options.cases, mixing)
    if is_finished := not isinstance(cases[0], Case):
        refuse_of_lists(options, f"is for mixing; {options.cases} lists finished cases")
    units = [Unit(str(number), case) for number, case in enumerate(cases)]
    check_file(options.out / "scores.parquet")
    say("starting Ray ...")
    make = partial(make_scorer, options.model, options.device, mixing)
    rows, troubles = part_troubles(score_units(units, make, options.actors, options.device))
    write_rows(options.out / "scores.parquet", rows)
    summary = summarize(rows)
    print(lay_out_kinds(summary, "given" if is_finished else options.style))
    draw(summary, options.out / "scores.png")
    if not troubles:
        return OK
    say(f"{len(troubles)} of {len(units)} cases are left out:")
    for trouble in troubles[:MAX_SHOWN]:
        say(f"  {trouble}")
    return SOME_FAILED


EVALUATE = Command(
    "evaluate", "jobs.evaluate", __doc__, add_arguments, run, KEYS,
    example="musdb18 /data/musdb18 scores model=zeroshot-asp detector=stsed",
)  # fmt: skip
main = EVALUATE.main

if __name__ == "__main__":
    sys.exit(main())
