"""The job: separate a library. `python -m jobs.separate CONFIG.yaml [dotted.key=value ...]`

Exit codes: 0 all is well; 3 finished, some assets failed; 2 a bad request, nothing written; 1 a
crash.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from separator.errors import SeparatorError, StorageBusy

LINE_EVERY_S = 10.0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.separate",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("config", metavar="CONFIG.yaml", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_args(argv)
    try:
        from separator.config import read_config

        config = read_config(options.config, options.overrides)
        from separator.job import run_job

        console = Console(sys.stdout.isatty())
        summary = run_job(config, console)
    except SeparatorError as error:
        print(f"separate: {error}", file=sys.stderr)
        return 1 if isinstance(error, StorageBusy) else 2
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, the same command goes on", file=sys.stderr)
        return 1
    console.end()
    print_summary(summary, config.output.uri)
    return 3 if summary.assets_failed and config.run.failed_assets == "exit3" else 0


class Console:
    """A line that is written over on a terminal, a line now and then elsewhere."""

    def __init__(self, is_terminal: bool) -> None:
        self.is_terminal = is_terminal
        self.started = self.last_line = time.monotonic()
        self.assets = self.spans = 0
        self.audio_s = 0.0
        self.failures: Counter[str] = Counter()

    def see_row(self, row: Any) -> None:
        self.spans += 1
        self.show()

    def see_records(self, records: Sequence[dict[str, Any]]) -> None:
        self.assets += 1
        tracks = {r["track_index"]: r["duration_s"] for r in records if r["status"] == "ok"}
        self.audio_s += sum(tracks.values())
        self.failures.update({r["error_code"] for r in records if r["status"] == "failed"})
        self.show()

    def show(self) -> None:
        now = time.monotonic()
        if now - self.last_line < (0.2 if self.is_terminal else LINE_EVERY_S):
            return
        self.last_line = now
        failed = "".join(f"  {code} {n}" for code, n in self.failures.most_common(2))
        line = (
            f"{self.assets:,} assets  {show_hours(self.audio_s)} of audio"
            f"  {self.audio_s / (now - self.started):.1f}x real time{failed}"
        )
        print(
            f"\r{line[:79]:79}" if self.is_terminal else line, end="" if self.is_terminal else "\n"
        )
        sys.stdout.flush()

    def end(self) -> None:
        if self.is_terminal:
            print(f"\r{'':79}\r", end="")


def print_summary(summary: Any, output_uri: str) -> None:
    print(f"{'assets':12}{summary.assets:>8,}   failed {summary.assets_failed:,}")
    print(f"{'stems':12}{summary.stems:>8,}")
    speed = summary.audio_s / summary.seconds if summary.seconds else 0.0
    print(f"{'audio':12}{show_hours(summary.audio_s):>8}   {speed:.1f}x real time")
    print(f"{'time':12}{summary.seconds:>7.1f}s")
    for code, number in summary.failures.most_common():
        print(f"  {code:24}{number:>6,} assets")
    if not summary.assets:
        print("nothing to do: all that was asked for is there")
    print(f"{output_uri}: stems/, manifest/, runs/{summary.run_id}.json")


def show_hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f}h" if seconds >= 3600 else f"{seconds / 60:.1f}min"


if __name__ == "__main__":
    sys.exit(main())
