"""Make a page to look at and listen to, report/index.html.

The page is a static site with relative addresses: open it from the folder, from a copy, or from a
store that serves files. The same command again makes only previews that are missing.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from jobs.command import SOME_FAILED, Command, add_config_arguments, say

if TYPE_CHECKING:
    from separator.config import JobConfig
    from separator.report.previews import AssetWork, PreviewMaker
    from separator.results.paths import Layout
    from separator.storage import Storage

KEYS = """\
keys, as in the file or as key=value on the command line:
  output.uri         the output of the run
  report.most        assets on the page: three quarters by doubt, the others at random
every key: configs/local.yaml"""
SHOWN_TROUBLES = 3


def run(options: argparse.Namespace) -> int | None:
    from separator.config import JobConfig, read_output
    from separator.config_file import build, merge_settings
    from separator.results.paths import Layout
    from separator.storage import Storage

    output, settings = read_output(options.config, options.overrides)
    report = build(
        merge_settings(JobConfig, options.config, options.overrides).report, options.config
    )
    return write(Storage(settings), Layout(output.uri, output.format), report.most)


def report_run(config: "JobConfig") -> None:
    """Make the report at the end of a run."""
    from separator.results.paths import Layout
    from separator.storage import Storage

    layout = Layout(config.output.uri, config.output.format)
    write(Storage(config.storage), layout, config.report.most)


def write(storage: "Storage", layout: "Layout", most: int) -> int | None:
    """Write the report; SOME_FAILED if a stem has no preview."""
    from separator.report.make import list_made, plan_report, write_report
    from separator.report.previews import PreviewMaker
    from separator.run.status import check_output, read_runs

    check_output(storage, layout)
    say("reading the manifest ...")
    plan = plan_report(storage, layout, most)
    made = list_made(storage, plan.layout)
    work = plan.list_work(made)
    troubles = make_previews(PreviewMaker(storage, plan.layout.previews()), work)
    write_report(storage, plan, made, troubles, next(read_runs(storage, layout, 1), None))
    missing = {name: why for name, why in troubles.items() if why}
    for why in list(missing.values())[:SHOWN_TROUBLES]:
        say(why)
    if missing:
        say(f"{len(missing):,} stems have no preview: the page says why")
    print(f"look and listen: {plan.layout.page()}")
    return SOME_FAILED if missing else None


def make_previews(maker: "PreviewMaker", work: "list[AssetWork]") -> dict[str, str]:
    """Make previews, one task for each asset; return what went wrong, by name of the preview."""
    from separator.run.tasks import run_tasks

    if work:
        say(f"making previews of {len(work):,} assets ...")
    found: dict[str, str] = {}
    for troubles in run_tasks(maker, work):
        found |= troubles
    return found


REPORT = Command(
    "report", "jobs.report", __doc__, add_config_arguments, run, KEYS,
    "configs/local.yaml output.uri=/stems",
)  # fmt: skip
main = REPORT.main

if __name__ == "__main__":
    sys.exit(main())
