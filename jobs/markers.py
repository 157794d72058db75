"""Write where queries are heard as markers for editing programs.

Audacity labels, CSV, EDL (DaVinci Resolve, Avid) or OpenTimelineIO, from the manifests of `run` and
`detect`. Time code and frame rate are those of the asset; --fps is for assets without a picture.
"""

import argparse
import sys
from fractions import Fraction

from jobs.command import Command, add_config_arguments
from jobs.find import add_choice, read_chosen, say_unheard
from separator.errors import RequestError, check_installed
from separator.results.markers import SUFFIXES

FORMATS = tuple(SUFFIXES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="audacity",
        help="audacity: labels; edl: DaVinci Resolve, Avid; otio: OpenTimelineIO (audacity)",
    )
    parser.add_argument("--out", metavar="URI", help="folder to write to (output.uri/markers)")
    add_choice(parser)
    parser.add_argument("--fps", default="25", help="frame rate without a picture (25)")


def run(options: argparse.Namespace) -> None:
    from separator.config import read_output
    from separator.results.marker_files import write_marker_files
    from separator.storage import Storage, join_uri, parse_uri

    try:
        fps = Fraction(options.fps)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if not 1 <= fps <= 1000:
        raise RequestError(f"--fps {options.fps}: must be a number such as 25 or 30000/1001")
    if options.format == "otio":  # before the manifests are read
        check_installed("opentimelineio", "editors", "OpenTimelineIO")
    output, settings = read_output(options.config, options.overrides)
    storage = Storage(settings)
    presence = read_chosen(options, storage, output.uri, options.query)
    folder = options.out or join_uri(parse_uri(output.uri).uri.rstrip("/"), "markers")
    folder, shared = parse_uri(folder).uri, output.uri if options.out else ""
    count, num_removed = write_marker_files(
        storage, presence, folder, options.format, options.min_score, fps, shared
    )
    removed = f"; removed {num_removed:,} of an earlier call" if num_removed else ""
    print(f"{count:,} files in {folder}{removed}")
    say_unheard(presence)


MARKERS = Command(
    "markers", "jobs.markers", __doc__, add_arguments, run,
    example="configs/local.yaml output.uri=/stems --format edl",
)  # fmt: skip
main = MARKERS.main

if __name__ == "__main__":
    sys.exit(main())
