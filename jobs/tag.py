"""Say what sounds in files, and when, without a query.

Every audio track of each file is given to a detector; each of its labels that sounds is printed
with the stretches of time and a score 0..1. No config, no Ray; nothing is written. Memory grows by
the scores alone: 2 MB for an hour and 40 labels, 24 MB with AudioSet's 527.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.command import OK, SOME_FAILED, Command, say
from separator.errors import (
    AudioError,
    LayoutUnsupported,
    MediaError,
    RateError,
    RequestError,
    SeparatorError,
    StorageError,
)

if TYPE_CHECKING:
    from separator.media.probe import Media, Track
    from separator.model.detector import Detector

FAILURES = (MediaError, AudioError, StorageError, RateError)  # of one file
LOW_SHARE = 0.5  # a sound that began at --min-score ends below this share of it
SHORTEST_GAP_S = 1.0  # shorter pauses do not end a stretch
SILENT_PEAK = 1e-4  # -80 dBFS
LABEL_WIDTH = 44


@dataclass(frozen=True)
class Row:
    """One stretch of one label, as csv and json give it."""

    file: str
    track: int
    label: str
    start_s: float
    stop_s: float
    score: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="audio or video")
    parser.add_argument(
        "--detector", default="mini-detector", metavar="NAME",
        help="mini-detector, stsed, or a path (mini-detector)",
    )  # fmt: skip
    parser.add_argument(
        "--min-score", type=float, default=0.5, metavar="X",
        help="what a label must reach, above 0, up to 1 (0.5)",
    )  # fmt: skip
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")


def run(options: argparse.Namespace) -> int:
    if not 0 < options.min_score <= 1:
        raise RequestError(f"--min-score {options.min_score:g}: must be above 0 and at most 1")
    say("loading the detector ...")
    from separator import load_detector

    detector = load_detector(options.detector, device=options.device)
    rows: list[Row] = []
    num_failed = 0
    for path in dict.fromkeys(options.files):
        is_heard = False
        try:
            for title, found in tag_file(detector, path, options.min_score):
                if isinstance(found, SeparatorError):
                    say(f"{options.prog}: {title}: {found.code}: {found}")
                    continue
                is_heard = True
                if options.format == "table":
                    print_table(title, found)
                elif not found:
                    say(f"{title}: no label reaches {options.min_score:g}")
                rows += found
        except FAILURES as error:
            say(f"{options.prog}: {path}: {error.code}: {error}")
        num_failed += not is_heard
    if options.format == "csv":
        print_csv(rows)
    elif options.format == "json":
        print(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False))
    return SOME_FAILED if num_failed else OK


def tag_file(
    detector: "Detector", path: Path, min_score: float
) -> Iterator[tuple[str, list[Row] | SeparatorError]]:
    """Yield a title and the rows of each track, or why it has none.

    A silent track beside others is no failure of the file: broadcasters leave tracks empty.
    """
    from separator.media.choose import choose_tracks
    from separator.media.probe import probe

    media = probe(path)
    for track in choose_tracks(media.tracks, "all"):
        title = str(path)
        if len(media.tracks) > 1:
            language = f" ({track.language})" if track.language else ""
            title = f"{path}, track {track.index}{language}"
        try:
            yield title, tag_track(detector, path, media, track, min_score)
        except AudioError as error:
            yield title, error


def tag_track(
    detector: "Detector", path: Path, media: "Media", track: "Track", min_score: float
) -> list[Row]:
    """Find the stretches of all labels in a track; AudioError if it is silent."""
    from separator.audio.spans import check_rate
    from separator.detect.curves import detect_blocks
    from separator.detect.stretches import Curve, StretchRule, find_stretches
    from separator.media.decode import decode, output_rate

    if not track.rate_hz:
        raise LayoutUnsupported(f"track {track.index} ({track.codec}) has no sample rate")
    rate_hz = output_rate(track)
    check_rate(rate_hz)
    with closing(decode(path, media, track)) as blocks:
        heard = detect_blocks(detector, blocks, rate_hz)
    if heard.peak < SILENT_PEAK:
        raise AudioError(f"track {track.index} is silent: nothing can be detected in it")
    rule = StretchRule(min_score, LOW_SHARE * min_score, shortest_gap_s=SHORTEST_GAP_S)
    rows = [
        Row(str(path), track.index, label, *(round(x, 3) for x in (s.start_s, s.stop_s, s.score)))
        for k, label in enumerate(detector.labels)
        for s in find_stretches(Curve(heard.framewise[:, k], heard.frame_s), rule, heard.duration_s)
    ]
    return sorted(rows, key=lambda row: (row.start_s, -row.score, row.label))


def print_table(title: str, rows: list[Row]) -> None:
    """Print a track's rows in at most 80 columns; only its title may be longer."""
    print(title, flush=True)
    if not rows:
        print("  no label reaches --min-score")
        return
    print(f"  {'label':{LABEL_WIDTH}}{'start':>12}{'stop':>12}{'score':>8}")
    for row in rows:
        label = row.label
        if len(label) > LABEL_WIDTH:
            label = f"{label[: LABEL_WIDTH - 3]}..."
        times = f"{show_moment(row.start_s):>12}{show_moment(row.stop_s):>12}"
        print(f"  {label:{LABEL_WIDTH}}{times}{row.score:8.2f}")


def show_moment(seconds: float) -> str:
    """Write a moment of a track as 1:02:03.4."""
    tenths = round(10 * seconds)
    hours, minutes = divmod(tenths // 600, 60)
    rest = f"{tenths % 600 / 10:04.1f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def print_csv(rows: list[Row]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(Row.__dataclass_fields__)
    writer.writerows(asdict(row).values() for row in rows)


TAG = Command(
    "tag", "jobs.tag", __doc__, add_arguments, run,
    example="talk.mp4 street.mkv --min-score 0.3 --format csv",
)  # fmt: skip
main = TAG.main

if __name__ == "__main__":
    sys.exit(main())
