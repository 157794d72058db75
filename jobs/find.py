"""Find in which assets queries are heard, and where.

Reads the manifests of `run` and of `detect`. Give the name of a query, or whole words of its text;
without them all queries are listed. Of the config only output.uri and storage are needed.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobs.command import Command, add_config_arguments, say, show_moment
from separator.errors import RequestError

if TYPE_CHECKING:
    from separator.results.found import Found, Presence
    from separator.storage import Storage

FORMATS = ("table", "csv", "json")
VERDICTS = ("any", "accept", "reject", "none")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(
        parser, "QUERY key=value", "the query, and values that replace those in the file"
    )
    add_choice(parser)
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="format of the output (table)"
    )


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose stretches."""
    parser.add_argument("--query", default="", metavar="TEXT", help="name, or words of the text")
    parser.add_argument(
        "--min-score", type=float, default=0.0, metavar="X", help="leave out lower scores, 0 to 1"
    )
    parser.add_argument(
        "--verdict",
        choices=VERDICTS,
        default=VERDICTS[0],
        help="stems with this verdict of a review; none: not reviewed (any)",
    )


def read_chosen(
    options: argparse.Namespace, storage: "Storage", output_uri: str, query: str
) -> "Presence":
    """Read the rows of the stems that the options choose."""
    from separator.results.found import read_presence

    if not 0 <= options.min_score <= 1:
        raise RequestError(f"--min-score {options.min_score:g}: must be from 0 to 1")
    return read_presence(storage, output_uri, query, options.verdict)


def say_unheard(presence: "Presence") -> None:
    """Say on stderr in how many assets nothing has listened, if there are any."""
    if number := presence.num_unheard:
        say(
            f"nothing has listened in {number:,} asset{'s' * (number != 1)}: failed (see `separator"
            " failures`), changed since, or separated without listening; `separator detect` listens"
        )


def run(options: argparse.Namespace) -> None:
    from separator.config import read_output
    from separator.results.found import Found, list_found, read_presence
    from separator.storage import Storage

    # `separator find CONFIG siren`: an argument without `=` is the query.
    texts = [each for each in options.overrides if "=" not in each]
    if len(texts) > 1 or (texts and options.query):
        raise RequestError(f"{texts[-1]!r}: one query at a time; put quotes around its words")
    overrides = [each for each in options.overrides if "=" in each]
    output, settings = read_output(options.config, overrides)
    query = options.query or (texts[0] if texts else "")
    storage = Storage(settings)
    presence = read_chosen(options, storage, output.uri, query)
    found = list(list_found(presence.rows, options.min_score))
    names = list(Found.__dataclass_fields__)
    if options.format == "csv":
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(to_row, found))
    elif options.format == "json":
        print(json.dumps([to_row(each) for each in found], indent=1, ensure_ascii=False))
    elif found:
        print_table(found)
    else:
        print(describe_nothing(options, lambda: read_presence(storage, output.uri, query).rows))
    say_unheard(presence)


def to_row(found: "Found") -> dict[str, Any]:
    """Make a row of csv or json; times are in whole milliseconds."""
    times = {name: round(getattr(found, name), 3) for name in ("start_s", "stop_s")}
    return asdict(found) | times


def print_table(found: "Sequence[Found]") -> None:
    """Print one line for each stretch in 80 columns, below a line for its asset."""
    from separator.storage.uri import show_uri

    asset = None
    for each in found:
        if each.asset_uri != asset:
            asset = each.asset_uri
            print(show_uri(asset))
        times = f"{show_moment(each.start_s):>12}{show_moment(each.stop_s):>12}"
        print(f"  {show_uri(each.query)[:34]:36}track {each.track:<4}{times}{each.score:8.2f}")
    print(count_stretches(len(found)))


def count_stretches(number: int) -> str:
    return f"{number:,} stretch{'es' * (number != 1)}"


def describe_nothing(
    options: argparse.Namespace, read_all: Callable[[], list[dict[str, Any]]]
) -> str:
    """Say why no stretch is printed. `read_all` reads the rows of all verdicts, if needed."""
    from separator.results.found import list_found

    asked = {}
    if options.verdict != VERDICTS[0]:
        asked["--verdict"] = f"the verdict {options.verdict}"
    if options.min_score:
        asked["--min-score"] = f"a score of {options.min_score:g} or more"
    number = sum(1 for _ in list_found(read_all())) if asked else 0
    if not number:
        return "heard nowhere"
    wanted, names = " and ".join(asked.values()), " and ".join(asked)
    return f"no stretch has {wanted}; {count_stretches(number)} without {names}"


FIND = Command(
    "find", "jobs.find", __doc__, add_arguments, run,
    example="configs/local.yaml output.uri=/stems siren --min-score 0.7",
    takes_words=True,
)  # fmt: skip
main = FIND.main

if __name__ == "__main__":
    sys.exit(main())
