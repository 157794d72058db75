"""Find and embed the 2 s of each label in a list of sounds.

The labels of a list apply to whole files; a detector finds when they sound. `separator train
configs/train-zeroshot.yaml` learns from the Parquet list that is written.
"""

import argparse
import sys

from jobs.command import OK, SOME_FAILED, Command, check_least, say
from separator.errors import RequestError

MAX_SHOWN = 10
RULES = """\
how a label's 2 s are found: official: by the detector's curve, as the zero-shot paper's code does;
uss: the same as the later USS does it, which repeats the curve's ends; windows: by asking the
detector about 2 s at a time, which needs no exact curve (official)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", help="stsed, or the path of a checkpoint")
    parser.add_argument("lists", nargs="+", metavar="LIST", help="with audio and labels (or kind)")
    parser.add_argument("out", metavar="OUT.parquet", help="the list to write: a path or s3://...")
    parser.add_argument(
        "--rule", choices=("official", "uss", "windows"), default="official", help=RULES
    )
    parser.add_argument("--actors", type=int, default=1, help="detectors side by side (1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")


def run(options: argparse.Namespace) -> int:
    check_least(options, actors=1)
    from separator.storage import parse_uri

    lists = {parse_uri(uri) for uri in options.lists}
    if not options.out.endswith(".parquet") or parse_uri(options.out) in lists:
        raise RequestError(f"{options.out!r}: the last is the list to write, a new .parquet")
    refuse_other_list(options.out)
    say("reading the lists ...")
    from separator.train.mine_lists import MineSettings, mine_lists

    settings = MineSettings(
        options.detector, options.lists, options.rule, options.actors, options.device
    )
    mined = mine_lists(settings, options.out, say)
    print(f"{options.out}: {mined.num_rows:,} stretches of {len(mined.kinds)} labels")
    if not mined.troubles:
        return OK
    say(f"{len(mined.troubles)} sounds cannot be read:")
    for trouble in sorted(mined.troubles)[:MAX_SHOWN]:
        say(f"  {trouble}")
    return SOME_FAILED


def refuse_other_list(out: str) -> None:
    """Refuse to overwrite a list that holds no mined stretches."""
    from separator.storage import Storage
    from separator.storage.tables import read_rows

    storage = Storage()
    if storage.exists(out) and "latent" not in next(iter(read_rows(storage, out)), {"latent": 0}):
        raise RequestError(f"{out!r}: is no list that `mine` has written; name a new one")


MINE = Command(
    "mine", "jobs.mine", __doc__, add_arguments, run,
    example="stsed s3://data/audioset.parquet s3://data/mined.parquet", resumes=False,
)  # fmt: skip
main = MINE.main

if __name__ == "__main__":
    sys.exit(main())
