"""Make a page to look at and listen to, report/index.html.

The page is a static site with relative addresses: open it from the folder, from a copy, or from a
store that serves files. The same command again makes only previews that are missing.
"""

import argparse
import sys
from collections.abc import Callable
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
    layout = Layout(output.uri, output.format)
    num_missing = write(Storage(settings), layout, report.most, say)
    print(describe_page(layout))
    return SOME_FAILED if num_missing else None


def report_run(config: "JobConfig", tell: Callable[[str], None]) -> str:
    """Make the report at the end of a run; return the line that says where it is."""
    from separator.results.paths import Layout
    from separator.storage import Storage

    layout = Layout(config.output.uri, config.output.format)
    write(Storage(config.storage), layout, config.report.most, tell)
    return describe_page(layout)


def describe_page(layout: "Layout") -> str:
    from separator.report.page import ReportLayout

    return f"look and listen: {ReportLayout(layout).page()}"


def write(storage: "Storage", layout: "Layout", most: int, tell: Callable[[str], None]) -> int:
    """Write the report, and tell what is going on; return the number of stems without preview."""
    from separator.report.make import list_made, plan_report, write_report
    from separator.report.previews import PreviewMaker
    from separator.run.status import check_output, read_runs

    check_output(storage, layout)
    tell("reading the manifest ...")
    plan = plan_report(storage, layout, most)
    made = list_made(storage, plan.layout)
    work = plan.list_work(made)
    if work:
        tell(f"making previews of {len(work):,} assets ...")
    troubles = make_previews(PreviewMaker(storage, plan.layout.previews()), work)
    write_report(storage, plan, made, troubles, next(read_runs(storage, layout, 1), None))
    missing = {name: why for name, why in troubles.items() if why}
    for why in list(missing.values())[:SHOWN_TROUBLES]:
        tell(why)
    if missing:
        tell(f"{len(missing):,} stems have no preview: the page says why")
    return len(missing)


def make_previews(maker: "PreviewMaker", work: "list[AssetWork]") -> dict[str, str]:
    """Make previews, one task for each asset; return what went wrong, by name of the preview."""
    from separator.run.tasks import run_tasks

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
