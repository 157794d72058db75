"""Run the benchmark MUSDB18: queries from training songs, figures of test songs, the table.

Shapes: Q stems in the order of STEMS, D condition.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from separator.audio.metrics import take_median
from separator.config_file import check_choice, check_number
from separator.errors import QueryError, RequestError
from separator.evaluation.benchmark import (
    BenchmarkSettings,
    Show,
    lay_out,
    pick,
    write_rows,
    write_table,
)
from separator.evaluation.by_examples import load_by_examples, take_mean
from separator.evaluation.musdb_scores import SongListener, SongScorer
from separator.evaluation.musdb_songs import STEMS, Song, list_songs
from separator.evaluation.over_units import Row, Score, Unit, hash_name, score_units
from separator.evaluation.published import MUSDB18
from separator.storage import Storage
from separator.storage.atomic import replacing

MODES = ("paper", "community")
NUM_TEST_SONGS = 50
TITLES = {
    "paper": "mono, 32 kHz, pieces of 2 s; median over pieces, then over songs",
    "community": "stereo, BSSEval v4, windows of 1 s; median over windows, then over songs",
}
NOTES = {
    "paper": "",
    "community": "the zero-shot rows are of the paper's protocol and not comparable with ours here",
}


@dataclass(frozen=True)
class MusdbSettings(BenchmarkSettings):
    """Settings of MUSDB18. `queries`: a folder with train/ (of another edition, say), or the .npz
    of an earlier run; by default the data's own train/."""

    mode: str = "paper"
    queries: str = ""
    num_queries: int = 90  # songs, the first by name
    wiener: bool = True  # one step over the four stems; in the mode `paper` only

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("mode", self.mode, MODES)
        check_number("num_queries", self.num_queries, 1, 1e6)


def run_musdb18(data: str, out: Path, settings: MusdbSettings, show: Show) -> str:
    """Score all models on the test songs, write `scores.parquet`, and return the table."""
    storage = Storage(settings.storage)
    songs = list_songs(storage, data, "test")
    songs = songs[: settings.limit or None]
    training = list_training_songs(storage, data, settings)
    rows = []
    for model in settings.model:
        show(f"{model}: queries ...")
        conditions_QD, name = find_conditions(settings, model, training, out, show)
        show(f"{model}: {len(songs)} songs, queries in {name} ...")
        make = partial(make_scorer, settings, model, conditions_QD)
        settled = [settings.mode, settings.wiener, settings.precision, conditions_QD.tolist()]
        units = make_units("score", songs, [*settings.identify(model), *settled])
        found = score_units(units, make, settings.actors, settings.device, out / "parts", show)
        rows += [{"model": model, "mode": settings.mode, **row} for row in found]
    write_rows(out / "scores.parquet", rows)
    return write_table(out, make_table(settings, rows))


def make_table(settings: MusdbSettings, rows: list[Row]) -> str:
    """Lay out the medians over songs."""
    ours = []
    for model in settings.model:
        ours.append((model, take_medians(pick(rows, model=model), "sdr_db")))
    num_songs = len({row["song"] for row in rows})
    ours.append(("nothing done: the mixture", take_medians(rows, "mixture_sdr_db")))
    title = f"musdb18, mode={settings.mode}: SDR in dB, {num_songs} songs; {TITLES[settings.mode]}"
    if settings.mode == "paper" and not settings.wiener:
        title += "; without the Wiener step"
    if num_songs != NUM_TEST_SONGS:
        title += f"\nnot the whole test set, which has {NUM_TEST_SONGS} songs"
    return lay_out(title, STEMS, ours, [MUSDB18], NOTES[settings.mode])


def take_medians(rows: list[Row], key: str) -> list[float]:
    return [take_median(row[key] for row in pick(rows, stem=stem)) for stem in STEMS]


def list_training_songs(storage: Storage, data: str, settings: MusdbSettings) -> list[Song]:
    """List the songs that queries come from; none if the conditions are given."""
    if settings.queries.endswith(".npz"):
        return []
    songs = list_songs(storage, settings.queries or data, "train")
    return songs[: settings.num_queries]


def find_conditions(
    settings: MusdbSettings, model: str, training: list[Song], out: Path, show: Show
) -> tuple[np.ndarray, str]:
    """Return the four conditions (Q, D), and the file that holds them."""
    if not training:
        return read_conditions(settings.queries), settings.queries
    identity = settings.identify(model)
    units = make_units("queries", training, identity)
    make = partial(make_listener, settings, model)
    rows = score_units(units, make, settings.actors, settings.device, out / "parts", show)
    conditions = {}
    for stem in STEMS:
        found = pick(rows, stem=stem)
        if not found:
            raise QueryError(f"{stem} is silent in all of the {len(training)} training songs")
        conditions_BD = np.array([row["condition"] for row in found])
        conditions[stem] = take_mean(conditions_BD, found[0]["has_unit_length"])
    path = out / f"queries-{hash_name(*(unit.name for unit in units))}.npz"
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **conditions)
    return read_conditions(str(path)), str(path)


def read_conditions(path: str) -> np.ndarray:
    """Read the four conditions (Q, D) of a file that an earlier run wrote."""
    try:
        with np.load(Path(path).expanduser(), allow_pickle=False) as data:
            conditions_QD = np.stack([data[stem] for stem in STEMS])
        if conditions_QD.dtype.kind not in "fiu" or conditions_QD.ndim != 2:
            raise ValueError(f"{conditions_QD[0].dtype} of shape {conditions_QD[0].shape}")
    except (OSError, EOFError, KeyError, ValueError, TypeError, BadZipFile) as error:
        raise RequestError(
            f"queries={path}: {error}; needed are four vectors of one length: {', '.join(STEMS)}"
        ) from None
    return conditions_QD


def make_units(kind: str, songs: list[Song], identity: list[Any]) -> list[Unit]:
    """Make a unit of each song; its name is a hash of all that its rows depend on."""
    versions = [[(e.uri, e.num_bytes, e.etag) for e in song.entries] for song in songs]
    return [
        Unit(hash_name(kind, version, identity), song)
        for song, version in zip(songs, versions, strict=True)
    ]


def make_scorer(settings: MusdbSettings, model: str, conditions_QD: np.ndarray) -> Score:
    """Load a model in an actor, to score songs."""
    loaded, _ = load_by_examples(*settings.name_files(model))
    return SongScorer(
        loaded, conditions_QD, settings.mode, settings.wiener, Storage(settings.storage)
    )


def make_listener(settings: MusdbSettings, model: str) -> Score:
    """Load a model in an actor, to make conditions of songs."""
    loaded, _ = load_by_examples(*settings.name_files(model))
    return SongListener(loaded, Storage(settings.storage))
