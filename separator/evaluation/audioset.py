"""Run the benchmark of pairs of AudioSet's sounds: draw them, score them, lay out the table."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from separator.audio.pairs import MODES
from separator.config_file import check_choice, check_number
from separator.errors import RequestError
from separator.evaluation.audioset_pairs import SHARE, Pair, PairsScorer, draw_pairs
from separator.evaluation.benchmark import BenchmarkSettings, Show, lay_out, pick, write_rows
from separator.evaluation.by_examples import load_by_examples
from separator.evaluation.over_units import Row, Score, Unit, hash_name, score_units
from separator.evaluation.published import AUDIOSET_PAIRS, HELD_OUT
from separator.model.zero_shot_files import NUM_AUDIOSET
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
    num_pairs = settings.pairs or max(1, round(SHARE * len(sounds)))
    pairs = draw_pairs(sounds, CLASSES[settings.classes], num_pairs, settings.seed)
    pairs = pairs[: settings.limit or None]
    rows = []
    for model in settings.model:
        show(f"{model}: {len(pairs)} pairs ...")
        make = partial(make_scorer, settings, model)
        units = make_units(pairs, settings.identify(model))
        found = score_units(units, make, settings.actors, settings.device, out / "parts", show)
        rows += [{"model": model, **row} for row in found]
    write_rows(out / "scores.parquet", rows)
    return make_table(settings, rows, len(pairs))


def make_table(settings: AudiosetSettings, rows: list[Row], num_pairs: int) -> str:
    """Lay out the means over samples; samples with silence have no figure."""
    ours = []
    for model in settings.model:
        figures = [
            [row["figure_db"] for row in pick(rows, model=model, mode=mode)] for mode in MODES
        ]
        ours.append((model, [float(np.nanmean(each)) for each in figures]))
    title = (
        f"audioset, classes={settings.classes}: mean SDR in dB, and dB of quieting; "
        f"{num_pairs} pairs, seed {settings.seed}"
    )
    note = "their pairs were drawn at random and are not known"
    if settings.classes == "held_out":
        note = "over all classes; figures over the held-out ones are not known to us"
    return lay_out(title, MODES, ours, [AUDIOSET_PAIRS], note)


def make_units(pairs: list[Pair], identity: list[str]) -> list[Unit]:
    """Put some pairs into each unit; its name holds all that its figures depend on."""
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
    return PairsScorer(loaded, detector, Storage(settings.storage))
