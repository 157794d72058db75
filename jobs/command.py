"""Give all commands one shape: arguments, help, and the meaning of exit codes.

A module of this package defines one `Command` or more. `jobs.cli` puts all of them together as
`separator COMMAND`; `python -m jobs.X` calls one alone.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from separator.errors import (
    ClusterUnreachable,
    DeviceFailed,
    DiskFull,
    LockLost,
    LossNotFinite,
    NoProgress,
    RequestError,
    SeparatorError,
    StorageBusy,
)

OK, CRASHED, REFUSED, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_CODES = """\
exit codes:
  0  all is well
  1  a crash, or something that may pass (a store that is busy): try again
  2  a bad request or config; nothing was written
  3  finished, and something failed
  130  stopped by Ctrl-C or SIGTERM"""
# What ends a command through no fault of its request.
MAY_PASS = (
    StorageBusy, DiskFull, ClusterUnreachable, LockLost, LossNotFinite, DeviceFailed, NoProgress
)  # fmt: skip

JOB_KEYS = """\
keys most used, as in the file or as key=value on the command line:
  input.uri          a folder, one file, or a list (.csv .jsonl .parquet .txt)
  output.uri         where stems/, manifest/ and runs/ go
  queries            sounds to separate: "[a person speaking, siren]"
  model.name         mini, audiosep, audiosep-hive, a path or s3://...
  model.device       auto, cpu or cuda
  tracks             all, default, first, [0, 2] or {language: [en]}
  output.format      flac, wav, ogg, mp3 or m4a
  output.residual    none, per_query or joint
  run.limit          assets to look at, for a first try
every key: configs/local.yaml"""


@dataclass(frozen=True)
class Command:
    """One command: its name after `separator`, its module, its help, and the function it calls.

    `run` gets the parsed arguments and returns the exit code, or None for 0. The first line of
    `about` is its line in `separator --help`.
    """

    name: str
    module: str
    about: str | None
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    keys: str = ""  # of its config, for the help
    example: str = ""  # after the name

    @property
    def summary(self) -> str:
        return (self.about or "").splitlines()[0].rstrip(".")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Fill a parser whose `prog` is the command as it was typed."""
        self.add_arguments(parser)
        example = f"example:\n  {parser.prog} {self.example}" if self.example else ""
        parser.description = (self.about or "").strip()
        parser.epilog = "\n\n".join(filter(None, (self.keys, example, EXIT_CODES)))
        parser.formatter_class = argparse.RawTextHelpFormatter
        parser.set_defaults(command=self, prog=parser.prog)

    def main(self, argv: list[str] | None = None) -> int:
        """Run as `python -m jobs.X`."""
        parser = Parser(prog=f"python -m {self.module}")
        self.add_to(parser)
        return run_command(parser, argv)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"{self.prog}: {message} (see {self.prog} --help)\n")


def run_command(parser: argparse.ArgumentParser, argv: list[str] | None) -> int:
    """Parse the arguments, call the command, and turn what happens into an exit code.

    A bug is no `SeparatorError`: it leaves a traceback, and Python exits with 1.
    """
    prog = parser.prog
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = parser.parse_args(argv)
        prog = options.prog
        return options.command.run(options) or OK
    except SystemExit as stop:  # of argparse: --help, --version or a usage error
        return int(stop.code or OK)
    except KeyboardInterrupt:
        say(f"\n{prog}: stopped; what is finished is kept, and the same command goes on")
        return INTERRUPTED
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CRASHED
    except SeparatorError as error:
        say(f"{prog}: {error}")
        return CRASHED if isinstance(error, MAY_PASS) else REFUSED
    except OSError as error:
        if error.filename is None:
            raise
        say(f"{prog}: {error.filename}: {error.strerror}")
        return REFUSED
    finally:
        signal.signal(signal.SIGTERM, previous)


def check_least(options: argparse.Namespace, **least: float) -> None:
    """Refuse options that are below the least that they may be."""
    for name, value in least.items():
        if getattr(options, name) < value:
            option = "--" + name.replace("_", "-")
            raise RequestError(f"{option} {getattr(options, name):g}: must be at least {value:g}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """`options.config` and `options.overrides`, for commands that read a YAML file."""
    parser.add_argument("config", metavar="CONFIG.yaml", type=take_config)
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="a value on top of the file"
    )


def take_config(text: str) -> Path:
    """Refuse a setting where the config belongs."""
    path = Path(text)
    if "=" in text and not path.exists():
        raise argparse.ArgumentTypeError(
            f"{text!r} is a setting; a config comes before it, such as configs/local.yaml"
        )
    return path


def show_time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f}h"
    return f"{seconds / 60:.1f}min" if seconds >= 60 else f"{seconds:.0f}s"


def show_moment(seconds: float) -> str:
    """Write a moment of a track as 1:02:03.4."""
    tenths = round(10 * seconds)
    hours, minutes = divmod(tenths // 600, 60)
    rest = f"{tenths % 600 / 10:04.1f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def show_bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"
