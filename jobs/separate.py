"""The job: separate a library. `python -m jobs.separate CONFIG.yaml [dotted.key=value ...]`

Exit codes: 0 all is well; 3 finished, some assets failed; 2 a bad request, nothing written; 1 a
crash.
"""

import sys
import time
from typing import TYPE_CHECKING

from jobs.command import parse_config_arguments
from separator.errors import LockLost, SeparatorError, StorageBusy

if TYPE_CHECKING:
    from separator.config import JobConfig
    from separator.run.stats import RunStats

LINE_EVERY_S = 10.0


def main(argv: list[str] | None = None) -> int:
    options = parse_config_arguments("python -m jobs.separate", __doc__, argv)
    try:
        from separator.config import read_config

        config = read_config(options.config, options.overrides)
        from separator.run.run import run_job

        console = Console(sys.stdout.isatty())
        summary = run_job(config, console.see)
    except SeparatorError as error:
        print(f"separate: {error}", file=sys.stderr)
        return 1 if isinstance(error, (StorageBusy, LockLost)) else 2
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, the same command goes on", file=sys.stderr)
        return 1
    console.end()
    print_summary(summary, config)
    return 3 if summary.assets_failed and config.run.failed_assets == "exit3" else 0


class Console:
    """A line that is written over on a terminal, a line now and then elsewhere."""

    def __init__(self, is_terminal: bool) -> None:
        self.is_terminal = is_terminal
        self.last_line = time.monotonic()

    def see(self, summary: "RunStats") -> None:
        now = time.monotonic()
        if now - self.last_line < (0.2 if self.is_terminal else LINE_EVERY_S):
            return
        self.last_line = now
        line = make_line(summary)
        text = f"\r{line[:79]:79}" if self.is_terminal else f"{line}\n"
        print(text, end="", flush=True)

    def end(self) -> None:
        if self.is_terminal:
            print(f"\r{'':79}\r", end="")


def make_line(summary: "RunStats") -> str:
    of_all = f"/{summary.assets_listed:,}" if summary.assets_listed else ""
    line = f"{summary.assets:,}{of_all} assets  {show_time(summary.audio_s)} of audio"
    line += f"  {summary.audio_s / max(summary.seconds, 1e-3):.1f}x"
    left = summary.assets_listed - summary.assets
    if summary.assets and left > 0:
        line += f"  {show_time(summary.seconds / summary.assets * left)} left"
    return line + "".join(f"  {code} {n}" for code, n in summary.failures.most_common(2))


def print_summary(summary: "RunStats", config: "JobConfig") -> None:
    why = "left alone" if config.run.only == "failed" else "done before"
    skipped = f"   {why} {summary.assets_skipped:,}" if summary.assets_skipped else ""
    print(f"{'assets':12}{summary.assets:>8,}   failed {summary.assets_failed:,}{skipped}")
    mixes = f"   renditions {summary.renditions:,}" if summary.renditions else ""
    print(f"{'stems':12}{summary.stems:>8,}{mixes}")
    speed = summary.audio_s / summary.seconds if summary.seconds else 0.0
    print(f"{'audio':12}{show_time(summary.audio_s):>8}   {speed:.1f}x real time")
    busy = f"   device busy {summary.device_busy:.0%}" if summary.device_s else ""
    print(f"{'time':12}{show_time(summary.seconds):>8}{busy}")
    for code, number in summary.failures.most_common():
        print(f"  {code:24}{number:>6,} assets")
    if not summary.assets:
        print("nothing to do: all that was asked for is there")
    print(f"{config.output.uri}: stems/, manifest/, runs/{summary.run_id}.json")


def show_time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f}h"
    return f"{seconds / 60:.1f}min" if seconds >= 60 else f"{seconds:.0f}s"


def show_bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


if __name__ == "__main__":
    sys.exit(main())
