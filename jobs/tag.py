"""Say what sounds in files or a library, without a query.

A detector listens to every audio track; each label that it hears is printed with its stretches of
time and a score from 0 to 1. A folder or an S3 prefix is a library: all media in it is tagged, one
file after the other. No config, no Ray; nothing is written.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.command import OK, SOME_FAILED, Command, say, show_moment
from separator.errors import (
    AudioError,
    LayoutUnsupported,
    MediaError,
    NonFiniteAudio,
    ObjectMissing,
    RateError,
    RequestError,
    SeparatorError,
    StorageError,
)

if TYPE_CHECKING:
    from separator.media.probe import Media, Track
    from separator.model.detection import SoundDetector
    from separator.storage import Entry, Storage

FAILURES = (MediaError, AudioError, StorageError, RateError)  # errors of one file
LOW_SHARE = 0.5  # a sound that began at --min-score ends below this share of it
SHORTEST_GAP_S = 1.0  # shorter pauses do not end a stretch
SILENT_PEAK = 1e-4  # -80 dBFS
LABEL_WIDTH = 44


@dataclass(frozen=True)
class Row:
    """One stretch of one label, as csv and json hold it."""

    file: str
    track: int
    label: str
    start_s: float
    stop_s: float
    score: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="audio or video; or a folder, or s3://..."
    )
    parser.add_argument(
        "--detector",
        default="mini-detector",
        metavar="NAME",
        help="mini-detector, stsed, or a path (mini-detector)",
    )
    parser.add_argument(
        "--min-score",
        type=float,
        default=0.5,
        metavar="X",
        help="score that a label must reach, above 0, up to 1 (0.5)",
    )
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        default="table",
        help="format of the output (table)",
    )
    parser.add_argument(
        "--storage",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of the config's section storage, such as endpoint_url=http://...",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")


def run(options: argparse.Namespace) -> int:
    if not 0 < options.min_score <= 1:
        raise RequestError(f"--min-score {options.min_score:g}: must be above 0 and at most 1")
    say("loading the detector ...")
    from separator import load_detector
    from separator.config_file import read_overrides
    from separator.storage import Storage, StorageSettings

    storage = Storage(read_overrides(StorageSettings, options.storage))
    detector = load_detector(options.detector, device=options.device)
    show = make_printer(options.format, options.min_score)
    num_failed = 0
    for name, entry in list_media(storage, options.files):
        is_heard = is_broken = False
        try:
            for title, found in tag_entry(storage, detector, name, entry, options.min_score):
                if isinstance(found, SeparatorError):
                    say(f"{options.prog}: {title}: {found.code}: {found}")
                    is_broken |= not is_silence(found)
                else:
                    is_heard = True
                    show.add(title, found)
        except FAILURES as error:
            say(f"{options.prog}: {name}: {error.code}: {error}")
            is_broken = True
        num_failed += is_broken or not is_heard
    show.finish()
    return SOME_FAILED if num_failed else OK


def list_media(storage: "Storage", names: list[str]) -> "Iterator[tuple[str, Entry | None]]":
    """Yield each file once, with the name to show; a file that `names` holds has no entry yet."""
    from separator.media.formats import list_media_patterns
    from separator.storage import Entry, parse_uri

    seen = set()
    for name in names:
        if is_library(storage, name):
            is_empty = True
            for entry in list_library(storage, name, list_media_patterns()):
                is_empty = False
                if entry.uri not in seen:
                    seen.add(entry.uri)
                    yield entry.uri, entry
            if is_empty:
                yield name, Entry(name, 0, "", datetime.now(UTC), ObjectMissing("no media in it"))
        elif (uri := parse_uri(name).uri) not in seen:
            seen.add(uri)
            yield name, None


def list_library(storage: "Storage", name: str, patterns: list[str]) -> "Iterator[Entry]":
    """List the files of a folder or prefix; what cannot be listed is an entry with its error."""
    from separator.storage import Entry

    try:
        yield from storage.list(name, patterns, with_errors=True)
    except StorageError as error:
        yield Entry(name, 0, "", datetime.now(UTC), error)


def is_library(storage: "Storage", name: str) -> bool:
    """Tell whether a name is that of a folder or a prefix; on S3 a file may have any name."""
    from separator.storage import parse_uri

    place = parse_uri(name)
    if not place.bucket:
        return place.path.is_dir()
    if not place.key or place.key.endswith("/"):
        return True
    try:
        return not storage.exists(name) and next(storage.list(name), None) is not None
    except StorageError:
        return False  # taken as a file, it will be reported as out of reach


def tag_entry(
    storage: "Storage", detector: "SoundDetector", name: str, entry: "Entry | None", least: float
) -> Iterator[tuple[str, list[Row] | SeparatorError]]:
    """Fetch a file, if it is not local, and tag it."""
    from separator.storage.temporary import temporary_folder

    if entry is None and "://" not in name:
        yield from tag_file(detector, Path(name), name, least)
        return
    entry = entry or storage.stat(name)
    if entry.error:
        raise entry.error
    with temporary_folder() as folder, storage.on_disk(entry, folder) as path:
        yield from tag_file(detector, path, name, least)


def tag_file(
    detector: "SoundDetector", path: Path, name: str, min_score: float
) -> Iterator[tuple[str, list[Row] | SeparatorError]]:
    """Yield a title and the rows of each track, or the error of the track."""
    from separator.media.choose import choose_tracks
    from separator.media.probe import probe

    media = probe(path)
    for track in choose_tracks(media.tracks, "all"):
        title = name
        if len(media.tracks) > 1:
            language = f" ({track.language})" if track.language else ""
            title = f"{name}, track {track.index}{language}"
        try:
            yield title, tag_track(detector, path, name, media, track, min_score)
        except FAILURES as error:
            yield title, error


def is_silence(error: SeparatorError) -> bool:
    """Tell whether a track holds nothing to hear, which is no failure of a file with other tracks:
    broadcasters leave tracks empty."""
    return isinstance(error, AudioError) and not isinstance(error, NonFiniteAudio)


def tag_track(
    detector: "SoundDetector",
    path: Path,
    name: str,
    media: "Media",
    track: "Track",
    min_score: float,
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
        Row(name, track.index, label, *(round(x, 3) for x in (s.start_s, s.stop_s, s.score)))
        for k, label in enumerate(detector.labels)
        for s in find_stretches(Curve(heard.framewise[:, k], heard.frame_s), rule, heard.duration_s)
    ]
    return sorted(rows, key=lambda row: (row.start_s, -row.score, row.label))


class Printer:
    """Print rows as a table, as they come; `Csv` and `Json` print these formats instead."""

    def __init__(self, min_score: float) -> None:
        self.min_score = min_score
        self.rows: list[Row] = []

    def add(self, title: str, rows: list[Row]) -> None:
        """Print a track's rows in at most 80 columns; only its title may be longer."""
        from separator.storage.uri import show_uri

        print(show_uri(title), flush=True)
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

    def finish(self) -> None:
        """Print what has been held back."""

    def tell_silence(self, title: str, rows: list[Row]) -> None:
        if not rows:
            say(f"{title}: no label reaches {self.min_score:g}")


class Csv(Printer):
    def __init__(self, min_score: float) -> None:
        super().__init__(min_score)
        self.writer = csv.writer(sys.stdout, lineterminator="\n")
        self.writer.writerow(Row.__dataclass_fields__)

    def add(self, title: str, rows: list[Row]) -> None:
        self.tell_silence(title, rows)
        self.writer.writerows(asdict(row).values() for row in rows)


class Json(Printer):
    def add(self, title: str, rows: list[Row]) -> None:
        self.tell_silence(title, rows)
        self.rows += rows

    def finish(self) -> None:
        print(json.dumps([asdict(row) for row in self.rows], indent=1, ensure_ascii=False))


def make_printer(form: str, min_score: float) -> Printer:
    return {"table": Printer, "csv": Csv, "json": Json}[form](min_score)


TAG = Command(
    "tag", "jobs.tag", __doc__, add_arguments, run,
    example="talk.mp4 street.mkv --min-score 0.3 --format csv",
    resumes=False,
)  # fmt: skip
main = TAG.main

if __name__ == "__main__":
    sys.exit(main())
