"""List the assets that failed, with error codes and reasons.

Of the config only output.uri and storage are needed. What has been made since is not listed.
"""

import argparse
import itertools
import sys
import textwrap

from jobs.command import Command, add_config_arguments, check_least

WIDTH = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--limit", type=int, default=100, help="assets to list (100); 0: all")


def run(options: argparse.Namespace) -> None:
    check_least(options, limit=0)
    from separator.config import read_output
    from separator.results.paths import Layout
    from separator.run.status import read_failures
    from separator.storage import Storage

    output, settings = read_output(options.config, options.overrides)
    failures = read_failures(Storage(settings), Layout(output.uri, output.format))
    shown = failures if not options.limit else itertools.islice(failures, options.limit)
    for asset_uri, reasons in shown:
        print(asset_uri)
        for (code, detail), queries in reasons.items():
            print(wrap_reason(code, detail, queries))
    if left := sum(1 for _ in failures):
        print(f"and {left:,} more assets; --limit 0 lists all")


def wrap_reason(code: str, detail: str, queries: list[str]) -> str:
    """`code  (queries)  detail` below an asset, in lines of 80 columns."""
    names = ", ".join(queries[:3]) + (f" and {len(queries) - 3} more" if len(queries) > 3 else "")
    text = f"{code} ({names}): {detail}"
    return textwrap.fill(
        text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )


FAILURES = Command(
    "failures", "jobs.failures", __doc__, add_arguments, run,
    example="configs/local.yaml output.uri=/stems --limit 20",
)  # fmt: skip
main = FAILURES.main

if __name__ == "__main__":
    sys.exit(main())
