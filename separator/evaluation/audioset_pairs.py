"""Score a model on pairs of AudioSet's sounds, as the zero-shot paper validates its models.

A pair has two sounds of 10 s, each with a class. In each sound the detector finds the 2 s in which
the class is strongest; these are the query and the target. The model gets each pair in three modes:
mixed, the target alone, and the other sound alone. The classes may be limited to the ten that were
held out of a model's training.

Shapes: T samples, D condition, N rows in time, K classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from separator.audio.anchors import CLIP, find_anchor
from separator.audio.metrics import compute_quieting_db
from separator.audio.pairs import MODES, Mode, make_samples
from separator.errors import RequestError
from separator.evaluation.by_examples import ByExamples
from separator.evaluation.case_metrics import measure_whole_sdr
from separator.evaluation.over_units import Row
from separator.model.detector import RATE_HZ, Detector
from separator.model.zero_shot_files import NUM_AUDIOSET, find_column, read_labels
from separator.storage import Storage
from separator.train.labelled_sounds import Labelled
from separator.train.sound_lists import read_whole

SHARE = 0.05  # pairs that the paper draws, as a share of the list's sounds


@dataclass(frozen=True)
class Drawn:
    """A sound, and the class, by AudioSet's number, for which it was drawn."""

    uri: str
    class_index: int


Pair = tuple[Drawn, Drawn]


def draw_pairs(
    sounds: Sequence[Labelled], allowed: Sequence[int], num_pairs: int, seed: int
) -> list[Pair]:
    """Draw pairs: classes in random permutations, a random sound of each, two by two.

    As in training, a sound may also have the class of its partner.
    """
    by_class: dict[int, list[Labelled]] = {index: [] for index in sorted(allowed)}
    for sound in sounds:
        for index in set(sound.classes):
            if index in by_class:
                by_class[index].append(sound)
    usable = [index for index, members in by_class.items() if members]
    if len(usable) < 2:
        raise RequestError(
            f"{len(usable)} of the {len(by_class)} classes have a sound in the list; two are needed"
        )
    drawn = draw_sounds(by_class, usable, np.random.default_rng(seed))
    return [(next(drawn), next(drawn)) for _ in range(num_pairs)]


def draw_sounds(
    by_class: dict[int, list[Labelled]], usable: list[int], rng: np.random.Generator
) -> Iterator[Drawn]:
    while True:
        for index in rng.permutation(usable).tolist():
            members = by_class[index]
            yield Drawn(members[int(rng.integers(len(members)))].uri, index)


@dataclass(frozen=True)
class PairsScorer:
    """Score some pairs: six samples each, two of each mode."""

    model: ByExamples
    detector: Detector
    storage: Storage

    def __call__(self, work: tuple[int, Sequence[Pair]]) -> list[Row]:
        """Score pairs that are numbered from the first number on."""
        first, pairs = work
        rows, names = [], read_labels(NUM_AUDIOSET)
        for number, pair in enumerate(pairs, start=first):
            targets = [cut_target(self.detector, self.read(drawn), drawn) for drawn in pair]
            scored = score_pair(self.model, *targets)
            for side, mode, figure_db in scored:
                drawn = pair[side]
                rows.append(
                    {"pair": number, "mode": mode, "class_index": drawn.class_index,
                     "class": names[drawn.class_index], "audio": drawn.uri,
                     "figure_db": figure_db}
                )  # fmt: skip
        return rows

    def read(self, drawn: Drawn) -> np.ndarray:
        """Read 10 s, mono at 32 kHz; a shorter sound is padded with zeros."""
        sound_T = read_whole(self.storage, drawn.uri, RATE_HZ)[:CLIP]
        return np.pad(sound_T, (0, CLIP - len(sound_T)))


def cut_target(detector: Detector, sound_T: np.ndarray, drawn: Drawn) -> np.ndarray:
    """Cut the 2 s in which a class is strongest."""
    framewise_NK = detector.infer(torch.from_numpy(sound_T)[None]).framewise[0].numpy()
    begin, end = find_anchor(framewise_NK[:, find_column(detector.labels, drawn.class_index)])
    return sound_T[begin:end]


def score_pair(
    model: ByExamples, first_T: np.ndarray, second_T: np.ndarray
) -> Iterator[tuple[int, Mode, float]]:
    """Yield (0 or 1, mode, figure) of a pair of targets; NaN where target or stem is silent.

    In the mode `silence` the figure is by how much the stem is quieter than the input.
    """
    conditions_2D = model.embed(torch.from_numpy(np.stack([first_T, second_T])))
    for mode in MODES:
        for side, (heard_T, target_T) in enumerate(make_samples(first_T, second_T, mode)):
            stem_T = model.separate(heard_T[None], RATE_HZ, conditions_2D[side : side + 1])[0, 0]
            if mode == "silence":
                yield side, mode, compute_quieting_db(heard_T, stem_T)
            else:
                yield side, mode, measure_whole_sdr(stem_T, target_T)
