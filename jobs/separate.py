"""Separate assets that are new or changed, or failed and may work now.

Stems, a manifest and records are written to output.uri. Finished stems are never made again; after
a stop, the same command continues the run.
"""

import argparse
import logging
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.command import (
    CRASHED,
    JOB_KEYS,
    OK,
    SOME_FAILED,
    Command,
    add_config_arguments,
    say,
    show_time,
)
from jobs.progress import Console
from separator.errors import RequestError, SeparatorError

if TYPE_CHECKING:
    from separator.config import JobConfig
    from separator.run.stats import RunStats

log = logging.getLogger(__name__)

JOB_FOLDER = "/working_dir_files/_ray_pkg_"  # part of the folder in which Ray starts a job
JSON_WANTED = re.compile(r"log_format\W+json")
RETRY_ABOUT = """\
Run again what has failed in earlier runs, and nothing else.

Assets that failed for good, such as damaged files, are tried once more, too. New and changed assets
wait for `run`.
"""
CONFIG = "CONFIG.yaml"  # stands for the config and the settings of a command
OUTPUT_KEYS = ("output.uri=", "storage.")
ONLY_FAILED = ["run.only=failed", "run.retry_failed=true"]


def run(options: argparse.Namespace) -> int:
    return separate(options.config, options.overrides)


def retry(options: argparse.Namespace) -> int:
    return separate(options.config, [*options.overrides, *ONLY_FAILED])


def separate(config_path: Path, overrides: list[str], is_detection: bool = False) -> int:
    console = Console(sys.stdout.isatty())
    # Print the first line before the config is read and checked.
    if not any(JSON_WANTED.search(text) for text in (*overrides, read_text(config_path))):
        console.say_phase("checking the library")
    from separator.config import read_config

    config = read_config(config_path, overrides)
    refuse_lost_output(config.output.uri)
    is_json = config.run.log_format == "json"
    if is_json:
        from jobs.json_lines import JsonConsole, log_as_json

        console = JsonConsole()
        log_as_json()
    if config.output.remux != "none":
        require_ffmpeg(config.output.remux_codec)
    from separator.run.run import run_job

    try:
        summary = run_job(config, console.see, is_detection)
    except SeparatorError as error:
        if not console.has_results:
            raise
        say(f"{error.code}: {error}; what is finished is kept, and the same command goes on")
        return CRASHED  # not a bad request: work was committed
    finally:
        console.end()
    if not is_json:
        typed = [str(config_path), *(text for text in overrides if text not in ONLY_FAILED)]
        print_summary(summary, config, is_detection, typed)
    if config.output.report and not is_detection and not write_report(config, console):
        return CRASHED
    has_failed = summary.assets_failed or summary.assets_left
    return SOME_FAILED if has_failed and config.run.failed_assets == "exit3" else OK


def refuse_lost_output(uri: str) -> None:
    """Refuse an output in the copy of the working directory that Ray makes and later deletes."""
    is_relative = "://" not in uri and not uri.startswith(("/", "~/"))
    if is_relative and JOB_FOLDER in str(Path.cwd()):
        raise RequestError(
            f"output.uri={uri!r}: would lie in Ray's copy of the working directory, which does not "
            "last; give an absolute path, or s3://..."
        )


def read_text(path: Path) -> str:
    try:
        # A pipe, as of `run <(make-config)`, can be read once only.
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError):  # `read_config` will report it
        return ""


def write_report(config: "JobConfig", console: Console) -> bool:
    """Write the report page; return False if that fails, which does not change the run."""
    from jobs.report import report_run

    try:
        console.show_result(report_run(config, console.tell))
    except SeparatorError as error:
        say(f"{error.code}: {error}; the stems are there, `separator report` makes the page")
        return False
    return True


def require_ffmpeg(codec: str | None = None) -> None:
    """Refuse to start without ffmpeg, which puts sound back into films, or without its encoder. On
    a cluster only warn, because the nodes have an ffmpeg of their own."""
    from separator.run.cluster import is_cluster

    if shutil.which("ffmpeg") is None:
        if is_cluster():
            log.warning("ffmpeg is not installed on this machine; all nodes of the cluster need it")
            return
        raise RequestError("ffmpeg is not installed: install ffmpeg 5 or newer")
    if codec is not None and not is_cluster():
        from separator.media.ffmpeg import has_encoder

        if not has_encoder(codec):
            raise RequestError(f"output.remux_codec={codec!r}: ffmpeg has no such encoder")


def print_summary(
    summary: "RunStats",
    config: "JobConfig",
    is_detection: bool = False,
    typed: Sequence[str] = (CONFIG,),
) -> None:
    """Print the totals. `typed`: the config and the settings as they were given."""
    why = "done or new" if config.run.only == "failed" else "done before"
    skipped = f"   {why} {summary.assets_skipped:,}" if summary.assets_skipped else ""
    if summary.assets_known:
        skipped += f"   found done {summary.assets_known:,}"
    if summary.assets_left:
        skipped += f"   failed before {summary.assets_left:,}"
    print(f"{'assets':12}{summary.assets:>8,}   failed {summary.assets_failed:,}{skipped}")
    mixes = f"   renditions {summary.renditions:,}" if summary.renditions else ""
    absent = f"   absent {summary.absent:,}" if summary.absent else ""
    made, number = ("heard", summary.heard) if is_detection else ("stems", summary.stems)
    print(f"{made:12}{number:>8,}{absent}{mixes}")
    speed = summary.audio_s / summary.seconds if summary.seconds else 0.0
    print(f"{'audio':12}{show_time(summary.audio_s):>8}   {speed:.1f}x real time")
    busy = f"   device busy {summary.device_busy:.0%}" if summary.device_s else ""
    print(f"{'time':12}{show_time(summary.seconds):>8}{busy}")
    for device, number in summary.devices.failures.most_common():
        reason = summary.devices.left_out.get(device)
        out = f", left out: {reason}" if reason else ""
        print(f"  {device:24}{number:>6,} failures{out}")
    for code, number in summary.failures.most_common():
        print(f"  {code:24}{number:>6,} assets")
    if summary.failures or summary.assets_left:
        own = [*typed[:1], *(text for text in typed[1:] if text.startswith(OUTPUT_KEYS))]
        print(suggest("failures", own, "says which and why"))
    if summary.assets_left:
        again = "detect" if is_detection else "retry"
        more = ["run.retry_failed=true"] if is_detection else []
        print(suggest(again, typed, "tries again what failed before", more))
    elif not summary.assets:
        print(f"nothing to do: {describe_nothing(summary, config)}")
    folder = f"{config.output.uri.rstrip('/')}/presence" if is_detection else config.output.uri
    parts = "manifest/" if is_detection else "stems/, manifest/"
    print(f"{folder}: {parts}, runs/{summary.run_id}.json")


def suggest(command: str, typed: Sequence[str], what: str, more: Sequence[str] = ()) -> str:
    """Name a command that can be typed as it stands, if it fits into 80 columns."""
    line, short = (
        f"  separator {command} {shlex.join([*arguments, *more])} {what}"
        for arguments in (typed, [CONFIG])
    )
    return line if len(line) <= 80 else short


def describe_nothing(summary: "RunStats", config: "JobConfig") -> str:
    """Say why no asset was worked on."""
    from separator.storage.uri import show_uri

    if not summary.assets_skipped:
        return f"no assets in {show_uri(config.input.uri)}"
    return (
        "nothing in the input has failed"
        if config.run.only == "failed"
        else "all that was asked for is there"
    )


EXAMPLE = "configs/local.yaml input.uri=/media output.uri=/stems"
RUN = Command("run", "jobs.separate", __doc__, add_config_arguments, run, JOB_KEYS, EXAMPLE)
RETRY = Command(
    "retry", "jobs.separate", RETRY_ABOUT, add_config_arguments, retry, JOB_KEYS, EXAMPLE
)
main = RUN.main

if __name__ == "__main__":
    sys.exit(main())
