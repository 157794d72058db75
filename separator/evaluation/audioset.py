"""Run the benchmark of pairs of AudioSet's sounds: draw them, score them, lay out the table."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from separator.audio.pairs import MODES
from separator.config_file import check_choice, check_number
from separator.errors import RequestError
from separator.evaluation.audioset_pairs import SHARE, Pair, PairsScorer, draw_pairs
from separator.evaluation.benchmark import (
    BenchmarkSettings,
    Show,
    lay_out,
    pick,
    write_rows,
    write_table,
)
from separator.evaluation.by_examples import load_by_examples
from separator.evaluation.over_units import Row, Score, Unit, hash_name, score_units
from separator.evaluation.published import AUDIOSET_PAIRS, HELD_OUT
from separator.model.zero_shot_files import NUM_AUDIOSET, find_column
from separator.storage import Storage
from separator.train.labelled_sounds import read_labelled

CLASSES = {"all": tuple(range(NUM_AUDIOSET)), "held_out": tuple(HELD_OUT)}
PAIRS_IN_UNIT = 8


@dataclass(frozen=True)
class AudiosetSettings(BenchmarkSettings):
    """Settings of AudioSet's pairs. `audio`: the folder of the sounds, by default the list's;
    `class_list`: AudioSet's class_labels_indices.csv, by default the one beside the list."""

    audio: str = ""
    class_list: str = ""
    classes: str = "all"
    pairs: int = 0  # 0: a twentieth of the list's sounds
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("classes", self.classes, tuple(CLASSES))
        check_number("pairs", self.pairs, 0, 1e9)
        check_number("seed", self.seed, 0, 2**32)
        if not self.detector:
            raise RequestError("detector is not set: it finds the class in a sound of 10 s")


def run_audioset(data: str, out: Path, settings: AudiosetSettings, show: Show) -> str:
    """Score all models on the same pairs, write `scores.parquet`, and return the table."""
    storage = Storage(settings.storage)
    sounds, num_missing = read_labelled(storage, data, settings.audio, settings.class_list)
    if num_missing:
        show(f"{num_missing} of {len(sounds) + num_missing} sounds are not in the folder")
    left_out = f"; {num_missing} sounds of the list were not found" if num_missing else ""
    num_pairs = settings.pairs or max(1, round(SHARE * len(sounds)))
    pairs = draw_pairs(sounds, CLASSES[settings.classes], num_pairs, settings.seed)
    if settings.limit and settings.limit < len(pairs):
        left_out += f"; only the first of {len(pairs)} pairs"
        pairs = pairs[: settings.limit]
    rows = []
    for model in settings.model:
        show(f"{model}: {len(pairs)} pairs ...")
        make = partial(make_scorer, settings, model)
        units = make_units(pairs, settings.identify(model))
        found = score_units(units, make, settings.actors, settings.device, out / "parts", show)
        rows += [{"model": model, **row} for row in found]
    write_rows(out / "scores.parquet", rows)
    return write_table(out, make_table(settings, rows, len(pairs), left_out))


def make_table(settings: AudiosetSettings, rows: list[Row], num_pairs: int, left_out: str) -> str:
    """Lay out the means over samples; samples with silence have no figure."""
    ours = []
    for model in settings.model:
        figures = [
            [row["figure_db"] for row in pick(rows, model=model, mode=mode)] for mode in MODES
        ]
        ours.append((model, [float(np.nanmean(each)) for each in figures]))
    title = (
        f"audioset, classes={settings.classes}: mean SDR in dB, and dB of quieting; "
        f"{num_pairs} pairs, seed {settings.seed}{left_out}"
    )
    if num_silent := sum(math.isnan(row["figure_db"]) for row in rows):
        title += f"\nnote: {num_silent} of {len(rows)} samples have no figure: they hold silence"
    note = "their pairs were drawn at random and are not known"
    if settings.classes == "held_out":
        note = "over all classes; figures over the held-out ones are not known to us"
    return lay_out(title, MODES, ours, [AUDIOSET_PAIRS], note)


def make_units(pairs: list[Pair], identity: list[str]) -> list[Unit]:
    """Put some pairs into each unit; a unit's name is a hash of all that its figures depend on."""
    units = []
    for start in range(0, len(pairs), PAIRS_IN_UNIT):
        part = pairs[start : start + PAIRS_IN_UNIT]
        drawn = [[(d.uri, d.class_index) for d in pair] for pair in part]
        units.append(Unit(hash_name("pairs", start, drawn, identity), (start, part)))
    return units


def make_scorer(settings: AudiosetSettings, model: str) -> Score:
    """Load a model in an actor, to score pairs."""
    loaded, detector = load_by_examples(*settings.name_files(model))
    assert detector
    for number in CLASSES[settings.classes]:
        find_column(detector.labels, number)  # refuses a missing class before anything is scored
    return PairsScorer(loaded, detector, Storage(settings.storage))
