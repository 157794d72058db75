"""Say what `run` would do, and estimate hours and bytes.

Nothing is written. The estimates come from a few assets and from the speed of this machine.
"""

import argparse
import itertools
import sys
import textwrap
from typing import TYPE_CHECKING

from jobs.command import JOB_KEYS, Command, add_config_arguments, say, show_bytes, show_time

if TYPE_CHECKING:
    from separator.config import JobConfig
    from separator.run.estimate import Plan


MAX_QUERIES = 40


def run(options: argparse.Namespace) -> None:
    say("checking the library ...")
    from separator.config import read_config

    config = read_config(options.config, options.overrides)
    from separator.run.estimate import make_plan

    plan = make_plan(config)
    if not plan.assets:
        from separator.storage.uri import show_uri

        print(f"no assets in {show_uri(config.input.uri)}")
        return
    print_plan(plan, config)


def print_plan(plan: "Plan", config: "JobConfig") -> None:
    why = "done or new" if config.run.only == "failed" else "done"
    done = plan.assets - plan.assets_pending - plan.assets_failed
    failed = f"   failed before {plan.assets_failed:,}" if plan.assets_failed else ""
    pending = f"   pending {plan.assets_pending:,}"
    print(f"{'assets':10}{plan.assets:>12,}   {why} {done:,}{pending}{failed}")
    print(f"{'pending':10}{show_bytes(plan.bytes_pending):>12}")
    print(f"{'stems':10}{plan.stems_pending:>12,}   if every asset has one track")
    if plan.hours is None or plan.device_hours is None or plan.output_bytes is None:
        if plan.looked_into:
            print(f"\nno estimate: none of {plan.looked_into} assets that were tried can be used")
        return
    print(f"\nestimated from {plan.looked_into - plan.unusable} assets", end="")
    print(f" ({plan.unusable} more could not be used):" if plan.unusable else ":")
    print(f"{'audio':10}{show_time(3600 * plan.hours):>12}")
    print(
        f"{plan.device:10}{show_time(3600 * plan.device_hours):>12}   "
        f"{plan.real_time:.1f}x real time for each query, on this machine"
    )
    print(f"{'output':10}{show_bytes(plan.output_bytes):>12}   {config.output.format}")
    if plan.heard_by:
        print("\nqueries are heard by:")
    for name, way in itertools.islice(plan.heard_by.items(), MAX_QUERIES):
        print(f"  {name[:30]:32}{textwrap.shorten(way, 46, placeholder=' ...')}")
    if (more := len(plan.heard_by) - MAX_QUERIES) > 0:
        print(f"  ... and {more:,} more")


PLAN = Command(
    "plan", "jobs.plan", __doc__, add_config_arguments, run, JOB_KEYS,
    "configs/local.yaml input.uri=/media output.uri=/stems",
)  # fmt: skip
main = PLAN.main

if __name__ == "__main__":
    sys.exit(main())
