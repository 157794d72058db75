"""Measure detectors on a set of clips with labelled sound events, such as DESED: F1 by class.

A class of the set is active in a row if one of its labels of the detector exceeds the class's
threshold there; neighbouring active rows are one event. Nothing is smoothed.

Shapes: T samples, N rows in time, K labels of the detector.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from separator import load_detector
from separator.audio.window import Times
from separator.config_file import check_number
from separator.detect.stretches import find_runs
from separator.errors import ObjectMissing, RequestError
from separator.evaluation.benchmark import (
    BenchmarkSettings,
    Show,
    lay_out,
    pick,
    write_rows,
    write_table,
)
from separator.evaluation.over_units import Row, Unit, hash_name, score_units
from separator.evaluation.presence import Counts, count_overlapping
from separator.evaluation.protocol import PublishedTable
from separator.evaluation.protocol_cases import list_files
from separator.evaluation.protocol_tables import reduce
from separator.model.detection import SoundDetector
from separator.model.detector import HOP, RATE_HZ
from separator.model.zero_shot_files import NUM_AUDIOSET, find_column
from separator.storage import Entry, Storage
from separator.storage.atomic import take_folder
from separator.train.sound_lists import read_whole

COLUMNS = ("filename", "onset", "offset", "event_label")
CLIPS_IN_UNIT = 16
MEAN = "mean of classes"
ROW_S = 10 / 1024
EDGE = 1e-9  # tolerance for seconds that floats do not hold exactly

Events = dict[str, list[Times]]  # by class


@dataclass
class EventClass:
    """A class of the set: labels of the detector by name, or AudioSet's by number: `388-402`."""

    labels: list[str] = MISSING
    threshold: float = 0.5


@dataclass(frozen=True)
class EventSettings(BenchmarkSettings):
    """Settings of a set of sound events. `model`: detectors; `lists`: the list of the events."""

    benchmark: str = "sound_events"
    name: str = MISSING
    data: str = MISSING
    lists: str = MISSING
    output: str = MISSING
    classes: dict[str, EventClass] = MISSING
    clip_s: float = 10.0  # clips are cut, or padded with zeros, to this length
    num_clips: int = 0  # of the whole set; the table notes another number
    published: list[PublishedTable] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("clip_s", self.clip_s, 0.1, 3_600)
        for name, each in self.classes.items():
            check_number(f"classes.{name}: threshold", each.threshold, 0, 1)
        if self.detector:
            raise RequestError("detector: here the model is the detector: model=stsed")

    def describe_rule(self) -> list[object]:
        """Return the settings that events depend on, apart from clips and detectors."""
        classes = [[name, each.labels, each.threshold] for name, each in self.classes.items()]
        return [self.clip_s, classes]


@dataclass(frozen=True)
class Clip:
    entry: Entry
    events: Events


def run_sound_events(settings: EventSettings, show: Show) -> str:
    """Score all detectors on all clips, write `scores.parquet`, and return the table."""
    out, storage = take_folder(settings.output), Storage(settings.storage)
    clips = list_clips(storage, settings)[: settings.limit or None]
    rows: list[Row] = []
    for model in settings.model:
        show(f"{model}: {len(clips)} clips ...")
        units = make_units(clips, [*settings.identify(model), *settings.describe_rule()])
        make = partial(EventScorer, settings, model)
        found = score_units(units, make, settings.actors, settings.device, out / "parts", show)
        rows += [{"model": model, **row} for row in found]
    write_rows(out / "scores.parquet", rows)
    return write_table(out, make_table(settings, rows, len(clips)))


def list_clips(storage: Storage, settings: EventSettings) -> list[Clip]:
    """Read the list, and find every file that it names."""
    wanted = read_events(settings.lists, read_list(storage, settings.lists), settings.classes)
    listing = list_files(storage, settings.data)
    entries: dict[str, Entry] = {}
    for path, entry in listing.items():
        name = path.rpartition("/")[2]
        if name in wanted and name in entries:
            raise RequestError(f"{settings.data}: two files are called {name}")
        entries[name] = entry
    if missing := [name for name in wanted if name not in entries]:
        raise RequestError(
            f"{settings.data}: {len(missing)} of {len(wanted)} clips of the list are not there, "
            f"{missing[0]} for one"
        )
    return [Clip(entries[name], events) for name, events in sorted(wanted.items())]


def read_list(storage: Storage, uri: str) -> bytes:
    try:
        return storage.read(uri)
    except ObjectMissing:
        raise RequestError(f"{uri}: no such file; lists=... is the list of the events") from None


def read_events(uri: str, data: bytes, classes: Mapping[str, EventClass]) -> dict[str, Events]:
    """Read events by file from a tab-separated list; a row without a label adds a file without
    events."""
    table = csv.DictReader(io.StringIO(data.decode("utf-8-sig", "replace")), delimiter="\t")
    if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
        raise RequestError(
            f"{uri}: no column {missing[0]}; needed are {', '.join(COLUMNS)}, with tabs"
        )
    clips: dict[str, Events] = {}
    for number, row in enumerate(table, start=2):
        events = clips.setdefault(row["filename"], {})
        if not (label := row["event_label"]):
            continue
        if label not in classes:
            raise RequestError(
                f"{uri}, line {number}: {label!r} is none of the classes {', '.join(classes)}"
            )
        try:
            times = float(row["onset"]), float(row["offset"])
        except (TypeError, ValueError):
            times = math.nan, math.nan
        if not 0 <= times[0] < times[1] < math.inf:
            raise RequestError(
                f"{uri}, line {number}: onset={row['onset']!r}, offset={row['offset']!r}: "
                "must be seconds, the second one later"
            )
        events.setdefault(label, []).append(times)
    if not clips:
        raise RequestError(f"{uri}: has no rows")
    return clips


def make_units(clips: list[Clip], identity: list[object]) -> list[Unit]:
    """Put some clips into each unit; its name is a hash of all that its figures depend on."""
    units = []
    for start in range(0, len(clips), CLIPS_IN_UNIT):
        part = clips[start : start + CLIPS_IN_UNIT]
        named = [[c.entry.uri, c.entry.num_bytes, c.entry.etag, c.events] for c in part]
        units.append(Unit(hash_name("events", named, identity), part))
    return units


class EventScorer:
    """Hold a detector in an actor, and count what it finds in clips."""

    def __init__(self, settings: EventSettings, model: str) -> None:
        self.settings, self.storage = settings, Storage(settings.storage)
        self.detector: SoundDetector = load_detector(
            model,
            device=settings.device,
            precision=settings.precision,
            storage=self.storage,
        )
        self.columns = {
            name: find_columns(name, each.labels, self.detector.labels)
            for name, each in settings.classes.items()
        }

    def __call__(self, clips: list[Clip]) -> list[Row]:
        return [row for clip in clips for row in self.score(clip)]

    def score(self, clip: Clip) -> list[Row]:
        """Compare the events found in a clip with the true ones, by class."""
        waveform_T = read_whole(self.storage, clip.entry.uri, RATE_HZ)
        num_samples = round(self.settings.clip_s * RATE_HZ)
        whole_T = np.pad(waveform_T[:num_samples], (0, max(0, num_samples - len(waveform_T))))
        found = self.detector.detect(whole_T[None], RATE_HZ)
        stop_s = find_stop(min(len(waveform_T), num_samples))
        rows = []
        for name, each in self.settings.classes.items():
            score_N = found.framewise[:, self.columns[name]].max(1)
            events = find_events(score_N, each.threshold, found.frame_s, stop_s)
            counts = count_overlapping(events, clip.events.get(name, ()))
            rows.append({"clip": clip.entry.uri, "class": name, **vars(counts)})
        return rows


def find_columns(name: str, labels: Sequence[str], known: Sequence[str]) -> list[int]:
    """Find the detector's labels that stand for a class."""
    found = []
    for label in labels:
        first, _, last = label.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            numbers = range(int(first), int(last or first) + 1)
            if numbers.stop > NUM_AUDIOSET:
                raise RequestError(f"classes.{name}: {label}: AudioSet has {NUM_AUDIOSET} labels")
            try:
                found += [find_column(known, number) for number in numbers]
            except RequestError as error:
                raise RequestError(
                    f"classes.{name}: {label}: {error}; name them: classes.{name}.labels=[...]"
                ) from None
        elif label in known:
            found.append(known.index(label))
        else:
            raise RequestError(f"classes.{name}: the detector has no label {label!r}")
    if not found:
        raise RequestError(f"classes.{name}: labels={list(labels)} name no label: 388-402, say")
    return found


def find_stop(num_samples: int) -> float:
    """Return the latest end of an event: HTS-AT's evaluation has 1,024 rows in ten seconds."""
    return math.ceil(num_samples // HOP * HOP / RATE_HZ / ROW_S - EDGE) * ROW_S


def find_events(
    score_N: np.ndarray, threshold: float, frame_s: float, stop_s: float
) -> list[Times]:
    """Find the runs of rows above a threshold, up to the end of the clip."""
    least = float(np.nextafter(np.float32(threshold), np.float32(2)))
    runs = find_runs(score_N, least, least)
    times = [(start * frame_s, min(stop * frame_s, stop_s)) for start, stop in runs]
    return [each for each in times if each[0] < each[1]]


def make_table(settings: EventSettings, rows: list[Row], num_clips: int) -> str:
    """Lay out F1 in percent: a line for the mean and for each class, a column for each detector."""
    names = [MEAN, *settings.classes]
    columns = [
        (Path(model).stem[-11:], take_f1(settings, pick(rows, model=model)))
        for model in settings.model
    ]
    title = f"{settings.name}: event F1 in % (half of each must be covered), {num_clips} clips"
    if settings.num_clips and num_clips != settings.num_clips:
        title += f"\nnot the whole set, which has {settings.num_clips} clips"
    for table in settings.published:
        title += f"\npublished: {table.source}"
        columns += [(row.name, row.figures) for row in table.arrange(names).rows]
    lines = [(name, [figures[i] for _, figures in columns]) for i, name in enumerate(names)]
    return lay_out(title, [name for name, _ in columns], lines, [])


def take_f1(settings: EventSettings, rows: list[Row]) -> list[float]:
    """Return the mean over classes, then each class, in percent."""
    figures = []
    for name in settings.classes:
        own = pick(rows, **{"class": name})
        counts = [Counts(row["hits"], row["false_alarms"], row["misses"]) for row in own]
        figures.append(100 * sum(counts, Counts()).f1)
    return [reduce(figures, "mean"), *figures]
