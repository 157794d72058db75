"""Give all commands one shape: arguments, help, and the meaning of exit codes.

A module of this package defines one `Command` or more. `jobs.cli` puts all of them together as
`separator COMMAND`; `python -m jobs.X` calls one alone.
"""

import argparse
import codecs
import contextlib
import difflib
import errno
import io
import os
import re
import shutil
import signal
import sys
import textwrap
import time
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
    ObjectChanged,
    RequestError,
    SeparatorError,
    StorageBusy,
    WorkerCrashed,
)

LONGEST_LINE, KEYS_AT = 100, 21  # columns of a help: its end, and where keys are explained
PATIENCE_S = 5.0  # for an orderly end; a signal after that ends the process at once
OK, CRASHED, REFUSED, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_CODES = """\
exit codes:
  0  all is well
  1  a crash, or something that may pass (a store that is busy): try again
  2  a bad request or config, an output that is taken, or storage that refuses;
     no stem or record was written
  3  finished, and something failed
  130  stopped by Ctrl-C or SIGTERM"""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
# Errors that are no fault of the request. If storage refuses it, that counts as its fault.
ENDS_WITH_1 = (
    StorageBusy, ObjectChanged, DiskFull, ClusterUnreachable, WorkerCrashed, LockLost,
    LossNotFinite, DeviceFailed, NoProgress,
)  # fmt: skip

JOB_KEYS = """\
keys most used, as in the file or as key=value on the command line:
  input.uri          a folder, one file, or a list (.parquet .csv .jsonl .ndjson .json .txt)
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
    keys: str = ""  # keys of its config, for the help
    example: str = ""  # arguments that follow the name
    resumes: bool = True  # the same command again continues one that was stopped
    takes_words: bool = False  # takes plain words beside settings, as in `find CONFIG siren`

    @property
    def summary(self) -> str:
        return (self.about or "").splitlines()[0].rstrip(".")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Fill a parser whose `prog` is the command as it was typed."""
        self.add_arguments(parser)
        example = f"example:\n{fold_command(f'{parser.prog} {self.example}')}" * bool(self.example)
        keys = "\n".join(fold(line, KEYS_AT * " ") for line in self.keys.splitlines())
        parser.description = "\n\n".join(map(fold, (self.about or "").strip().split("\n\n")))
        parser.epilog = "\n\n".join(filter(None, (keys, example, EXIT_CODES)))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.set_defaults(command=self, prog=parser.prog, parser=parser)

    def main(self, argv: list[str] | None = None) -> int:
        """Run as `python -m jobs.X`."""
        parser = Parser(prog=f"python -m {self.module}")
        self.add_to(parser)
        return run_command(parser, argv)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest word that it knows."""

    def error(self, message: str) -> NoReturn:
        if choice := re.search(r"^(.*invalid choice: '(.*)') \(choose from (.*)\)$", message):
            known = [each.strip(" '") for each in choice[3].split(",")]
            if near := difflib.get_close_matches(choice[2], known, 1):
                message = f"{choice[1]}; did you mean {near[0]}?"
        self.exit(REFUSED, f"{self.prog}: {message} (see {self.prog} --help)\n")


def run_command(parser: argparse.ArgumentParser, argv: list[str] | None) -> int:
    """Parse the arguments, call the command, and turn what happens into an exit code.

    A bug is no `SeparatorError`: it leaves a traceback, and Python exits with 1.
    """
    prog, resumes = parser.prog, True
    open_closed_streams()
    accept_all_names()
    stop = _Stop()
    previous = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        options = parse_arguments(parser, argv)
        prog, resumes = options.prog, options.command.resumes
        code = options.command.run(options) or OK
        sys.stdout.flush()
        return code
    except SystemExit as ending:  # raised by argparse: --help, --version or a usage error
        return int(ending.code or OK)
    except KeyboardInterrupt:
        # Ignore signals until Python has ended: on its way out it removes all other handlers.
        previous = dict.fromkeys(previous, signal.SIG_IGN)
        more = ", and the same command goes on" if resumes else ""
        say(f"\n{prog}: stopped; what is finished is kept{more}")
        return INTERRUPTED
    except BrokenPipeError:  # `... | head`
        silence_stdout()
        return CRASHED
    except SeparatorError as error:
        say(f"{prog}: {error}")
        return CRASHED if isinstance(error, ENDS_WITH_1) else REFUSED
    except OSError as error:
        if error.filename is None and error.errno not in NO_ROOM:
            raise
        say(f"{prog}: {error.filename or 'standard output'}: {error.strerror}")
        if error.errno not in NO_ROOM:
            return REFUSED
        if error.filename is None:
            silence_stdout()
        return CRASHED
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def parse_arguments(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Parse arguments; settings may also follow an option, which argparse does not expect."""
    options, rest = parser.parse_known_args(argv)
    given = next((vars(options)[k] for k in ("overrides", "settings") if k in options), None)
    is_wrong = [
        each[0] == "-" or given is None or not ("=" in each or options.command.takes_words)
        for each in rest
    ]
    if any(is_wrong):
        wrong = rest[is_wrong.index(True)].partition("=")[0]
        known = set(re.findall(r"--[a-z-]+", options.parser.format_help()))
        near = difflib.get_close_matches(wrong, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        if given is not None and wrong.startswith("--") and "." in wrong:
            hint = f"; a setting has no dashes: {wrong[2:]}=..."
        options.parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    if rest and given is not None:
        given += rest
    return options


def fold(text: str, indent: str = "", spare: int = 0) -> str:
    """Fold a paragraph to the width of the terminal, less some spare columns."""
    width = min(shutil.get_terminal_size().columns, LONGEST_LINE) - spare
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def fold_command(text: str) -> str:
    """Fold a command line so that a shell can read it: with backslashes, never inside quotes."""
    kept = re.sub("'[^']*'", lambda found: found[0].replace(" ", "\0"), f"  {text}")
    mark = " \\"
    return fold(kept, "      ", len(mark)).replace("\n", f"{mark}\n").replace("\0", " ")


class _Stop:
    """Stop at the first signal. Later signals do not disturb the end, unless it takes long."""

    def __init__(self) -> None:
        self.first_at = 0.0

    def __call__(self, number: int, frame: object) -> None:
        if not self.first_at:
            self.first_at = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self.first_at > PATIENCE_S:
            os._exit(INTERRUPTED)


def check_least(options: argparse.Namespace, **least: float) -> None:
    """Refuse options whose values are below the given minimums."""
    for name, value in least.items():
        if not getattr(options, name) >= value:  # refuses NaN too
            option = "--" + name.replace("_", "-")
            raise RequestError(f"{option} {getattr(options, name):g}: must be at least {value:g}")


def check_new_file(path: Path, force: bool) -> None:
    """Refuse a file of weights that cannot be written, before anything is computed."""
    if path.suffix != ".safetensors":
        raise RequestError(f"{path}: must end in .safetensors")
    if not path.parent.is_dir():
        raise RequestError(f"{path.parent}: no such folder")
    if path.is_dir():
        raise RequestError(f"{path}: is a folder; choose another name")
    if path.exists() and not force:
        raise RequestError(f"{path}: exists; --force overwrites it")


def open_closed_streams() -> None:
    """Lead streams that the caller closed, as with `2>&-`, to nowhere: otherwise the next file that
    is opened takes the place of such a stream, and texts for stderr go to stdout."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))


def accept_all_names() -> None:
    """Let standard output accept every name of a library: if its encoding is UTF-8, with the bytes
    of the name; else with escapes for characters that the encoding lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        is_utf_8 = codecs.lookup(sys.stdout.encoding).name == "utf-8"
        sys.stdout.reconfigure(errors="surrogateescape" if is_utf_8 else "backslashreplace")


def silence_stdout() -> None:
    """Discard the rest of the output: otherwise Python would fail on it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk: the exit code tells
        print(text, file=sys.stderr, flush=True)


def add_config_arguments(
    parser: argparse.ArgumentParser,
    words: str = "key=value",
    about: str = "a value that replaces the one in the file",
) -> None:
    """Add `options.config` and `options.overrides`, for commands that read a YAML file."""
    parser.add_argument("config", metavar="CONFIG.yaml", type=take_config)
    parser.add_argument("overrides", nargs="*", default=[], metavar=words, help=about)


def take_config(text: str) -> Path:
    """Refuse a setting in the place of the config."""
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
