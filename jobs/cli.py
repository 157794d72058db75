"""Offer every job of this package as a subcommand of one command, `separator`."""

import sys
from argparse import RawDescriptionHelpFormatter
from importlib.metadata import version

from jobs import (
    calibrate,
    check,
    convert,
    demo,
    detect,
    evaluate,
    export,
    failures,
    file,
    find,
    markers,
    mine,
    plan,
    report,
    review,
    separate,
    sounds,
    status,
    tag,
    train,
    train_encoder,
)
from jobs.command import EXIT_CODES, Command, Parser, run_command

# In the order of `separator --help`. Importing the modules loads nothing heavy.
COMMANDS: list[Command] = [
    separate.RUN,
    plan.PLAN,
    check.CHECK,
    status.STATUS,
    failures.FAILURES,
    separate.RETRY,
    file.FILE,
    detect.DETECT,
    find.FIND,
    markers.MARKERS,
    tag.TAG,
    report.REPORT,
    review.REVIEW,
    export.EXPORT,
    demo.DEMO,
    evaluate.EVALUATE,
    mine.MINE,
    train.TRAIN,
    train_encoder.TRAIN_ENCODER,
    calibrate.CALIBRATE,
    convert.CONVERT,
    sounds.SOUNDS,
]


def make_parser() -> Parser:
    parser = Parser(
        prog="separator",
        description="Separate named sounds out of a media library.",
        epilog=f"separator COMMAND --help says what a command takes.\n\n{EXIT_CODES}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"separator {version('separator')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for command in COMMANDS:
        command.add_to(subparsers.add_parser(command.name, help=command.summary))
    return parser


def main(argv: list[str] | None = None) -> int:
    return run_command(make_parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
