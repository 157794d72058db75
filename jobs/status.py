"""What has been done so far: `python -m jobs.status CONFIG.yaml [dotted.key=value ...]`."""

import argparse
import sys
from typing import TYPE_CHECKING

from jobs.command import parse_config_arguments, run_command
from jobs.separate import show_time

if TYPE_CHECKING:
    from separator.run.status import Status


def main(argv: list[str] | None = None) -> int:
    options = parse_config_arguments("separator status", __doc__, argv)
    return run_command("status", run, options)


def run(options: argparse.Namespace) -> None:
    from separator.config import read_config
    from separator.results.paths import Layout
    from separator.run.status import read_status
    from separator.storage import Storage

    config = read_config(options.config, options.overrides)
    layout = Layout(config.output.uri, config.output.format)
    print_status(read_status(Storage(config.storage), layout))


def print_status(status: "Status") -> None:
    from separator.run.status import describe_state

    print(f"manifest  {status.outcomes.total():,} rows   ok {status.outcomes['']:,}")
    for code, number in status.outcomes.most_common():
        if code:
            print(f"  {code:24}{number:>8,}")
    print(f"\n{'run':24}{'state':10}{'assets':>10}{'failed':>8}{'audio':>9}{'time':>9}{'busy':>6}")
    for run in status.runs:
        totals = run["totals"]
        print(
            f"{run['run_id']:24}{describe_state(run):10}{totals['assets']:>10,}"
            f"{totals['assets_failed']:>8,}{show_time(totals['audio_s']):>9}"
            f"{show_time(totals['seconds']):>9}{run.get('device_busy', 0):>6.0%}"
        )
    if status.num_runs > len(status.runs):
        print(f"and {status.num_runs - len(status.runs)} earlier ones")


if __name__ == "__main__":
    sys.exit(main())
