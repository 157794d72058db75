"""Say what has been done so far, also while a run is at work.

The results of `run` come first, then those of `detect`. Of the config only output.uri and storage
are needed. Assets and rows of the manifest are counted as they are now: a row is one query of one
track.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from jobs.command import Command, add_config_arguments, show_time

if TYPE_CHECKING:
    from separator.run.status import Status


def run(options: argparse.Namespace) -> None:
    from separator.config import read_output
    from separator.run.status import list_parts, read_status
    from separator.storage import Storage

    output, settings = read_output(options.config, options.overrides)
    storage = Storage(settings)
    for number, (command, layout) in enumerate(list_parts(storage, output.uri)):
        if command != "run":
            print(("\n" if number else "") + f"separator {command}:")
        print_status(read_status(storage, layout))


def print_status(status: "Status") -> None:
    from separator.run.status import describe_state

    failed = f"   with failures {status.num_failed_assets:,}" if status.num_failed_assets else ""
    print(f"{'assets':10}{status.num_assets:>10,}{failed}")
    ok, num_rows = status.outcomes[""], status.outcomes.total()
    absent = f"   absent {status.num_absent:,}" if status.num_absent else ""
    print(
        f"{'rows':10}{num_rows:>10,}   ok {ok - status.num_absent:,}{absent}   "
        f"failed {num_rows - ok:,}"
    )
    for code, number in status.outcomes.most_common():
        if code:
            print(f"  {code:24}{number:>8,} rows")
    print(f"\n{'run':24}{'state':10}{'assets':>10}{'failed':>8}{'audio':>9}{'time':>9}{'busy':>6}")
    for run in status.runs:
        totals = run["totals"]
        print(
            f"{run['run_id']:24}{describe_state(run):10}{totals['assets']:>10,}"
            f"{totals['assets_failed']:>8,}{show_time(totals['audio_s']):>9}"
            f"{show_time(totals['seconds']):>9}{run.get('device_busy', 0):>6.0%}"
        )
    if status.num_runs > len(status.runs):
        print(f"and {status.num_runs - len(status.runs)} earlier runs")


STATUS = Command(
    "status", "jobs.status", __doc__, add_config_arguments, run,
    example="configs/local.yaml output.uri=/stems",
)  # fmt: skip
main = STATUS.main

if __name__ == "__main__":
    sys.exit(main())
