"""List what failed in `run` and `detect`, with codes and reasons.

Of the config only output.uri and storage are needed. Failures that a later run has mended are not
listed; those of assets that have left the library are.
"""

import argparse
import itertools
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.command import Command, add_config_arguments, check_least

if TYPE_CHECKING:
    from separator.run.status import Reasons
    from separator.storage import Storage

WIDTH = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--limit", type=int, default=100, help="assets to list (100); 0: all")


def run(options: argparse.Namespace) -> None:
    check_least(options, limit=0)
    from separator.config import read_output
    from separator.storage import Storage
    from separator.storage.uri import show_uri

    output, settings = read_output(options.config, options.overrides)
    failures = list_failures(Storage(settings), output.uri)
    shown = failures if not options.limit else itertools.islice(failures, options.limit)
    for asset_uri, reasons in shown:
        print(show_uri(asset_uri))
        for (code, detail), queries in reasons.items():
            names = [show_uri(each) for each in queries]
            print(wrap_reason(code, show_uri(" ".join(detail.split())), names))
    if left := sum(1 for _ in failures):
        print(f"and {left:,} more assets; --limit 0 lists all")


def list_failures(storage: "Storage", output_uri: str) -> "Iterator[tuple[str, Reasons]]":
    """List what failed in `run`, then what failed in `detect`, which has a folder of its own."""
    from separator.run.status import list_parts, read_failures

    for command, layout in list_parts(storage, output_uri):
        of = "" if command == "run" else f" (separator {command})"
        for asset_uri, reasons in read_failures(storage, layout):
            yield f"{asset_uri}{of}", reasons


def wrap_reason(code: str, detail: str, queries: list[str]) -> str:
    """Write `code (queries): detail` below an asset, in lines of 80 columns."""
    names = ", ".join(queries[:3]) + (f" and {len(queries) - 3} more" if len(queries) > 3 else "")
    of = f" ({names})" if names else ""  # a row of a list may name no query
    return textwrap.fill(
        f"{code}{of}: {detail}",
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )


FAILURES = Command(
    "failures", "jobs.failures", __doc__, add_arguments, run,
    example="configs/local.yaml output.uri=/stems --limit 20",
)  # fmt: skip
main = FAILURES.main

if __name__ == "__main__":
    sys.exit(main())
