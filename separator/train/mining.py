"""Find, in weakly labelled sounds, the 2 s in which each label sounds, and embed them.

A detector says where: the labels are of whole files. Three rules: `official`, that of the zero-shot
paper's code (audio/anchors.py); `uss`, that of the later USS, which repeats a curve's ends; and
ours, `windows`, which asks the detector about 2 s at a time and needs no exact curve.

Shapes: T samples, N rows in time, K labels, D features.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from separator.audio.anchors import CLIP, ROWS, SEGMENT, find_anchor, find_anchor_uss
from separator.model.detector import RATE_HZ, STEPS, Detector
from separator.train.sound_lists import Source

Rule = Literal["official", "uss", "windows"]
# Of the rule `windows`: a window every so many samples; a place counts as its neighbours do too.
STRIDE, NEIGHBOURS = RATE_HZ // 4, 9
TOGETHER = 64  # windows in memory
SCHEMA = pa.schema(
    {
        "audio": pa.string(),
        "kind": pa.string(),
        "captions": pa.list_(pa.string()),
        "labels": pa.list_(pa.string()),
        "group": pa.string(),
        "package": pa.string(),
        "start_s": pa.float64(),
        "score": pa.float32(),
        "latent": pa.list_(pa.float32()),
    }
)


@dataclass(frozen=True)
class Stretch:
    """The 2 s of a sound in which a label is strongest; all of a sound that is shorter."""

    label: str
    start_s: float
    score: float  # mean over the stretch, 0..1
    latent: np.ndarray  # (D,)


def mine(
    detector: Detector, mono_T: Tensor, labels: list[str], rule: Rule = "official"
) -> Iterator[Stretch]:
    """Yield a stretch for each of the labels that the detector knows; `mono_T` is at 32 kHz."""
    columns = {label: detector.labels.index(label) for label in labels if label in detector.labels}
    if not columns:
        return
    find = find_by_windows if rule == "windows" else find_by_curves
    for (label, _), (begin, score) in zip(
        columns.items(), find(detector, mono_T, list(columns.values()), rule), strict=True
    ):
        begin = max(0, min(begin, len(mono_T) - SEGMENT))
        latent_D = detector.infer(mono_T[None, begin : begin + SEGMENT]).latent[0].numpy()
        yield Stretch(label, begin / RATE_HZ, score, latent_D)


def find_by_curves(
    detector: Detector, mono_T: Tensor, columns: list[int], rule: Rule
) -> Iterator[tuple[int, float]]:
    """Yield (first sample, score) of each class: where its curve is highest over 2 s.

    Of a sound longer than a picture, the ten seconds count in which it is highest.
    """
    starts = range(0, max(1, len(mono_T)), CLIP)
    pieces = [mono_T[start : start + CLIP] for start in starts]
    padded = torch.stack([F.pad(piece_T, (0, CLIP - len(piece_T))) for piece_T in pieces])
    framewise_BSK = detector.infer(padded).framewise.numpy()
    for column in columns:
        begin, score = 0, -1.0
        for start, curve_S in zip(starts, framewise_BSK[..., column], strict=True):
            anchor = find_anchor(curve_S) if rule == "official" else find_anchor_uss(curve_S)
            mean = average(curve_S, *anchor)
            if mean > score:
                begin, score = start + anchor[0], mean
        yield begin, score


def find_by_windows(
    detector: Detector, mono_T: Tensor, columns: list[int], rule: Rule
) -> Iterator[tuple[int, float]]:
    """Yield (first sample, score) of each class: the 2 s that score highest with their neighbours.

    A mean of logits over neighbours puts an event into the middle of the 2 s.
    """
    starts = range(0, max(1, len(mono_T) - SEGMENT + 1), STRIDE)
    scores = []
    for at in range(0, len(starts), TOGETHER):
        windows = [mono_T[start : start + SEGMENT] for start in starts[at : at + TOGETHER]]
        padded = torch.stack(
            [F.pad(window_T, (0, SEGMENT - len(window_T))) for window_T in windows]
        )
        scores.append(detector.infer(padded).clipwise)
    scores_BK = torch.cat(scores).double().clamp(1e-9, 1 - 1e-9)
    half = NEIGHBOURS // 2
    for column in columns:
        logit_B = np.pad(scores_BK[:, column].logit().numpy(), (half, half), mode="edge")
        best = int(np.argmax(np.convolve(logit_B, np.ones(NEIGHBOURS), "valid")))
        yield starts[best], float(scores_BK[best, column])


def average(curve_S: np.ndarray, begin: int, end: int) -> float:
    """Average a curve of ten seconds over a stretch of samples."""
    rows = np.repeat(curve_S, ROWS // STEPS)
    return float(rows[begin * ROWS // CLIP : end * ROWS // CLIP].mean())


def make_rows(source: Source, found: Iterable[Stretch]) -> Iterator[dict[str, Any]]:
    """Make a list's row of each stretch, for `task: examples`."""
    for stretch in found:
        yield {
            "audio": source.uri,
            "kind": stretch.label,
            "captions": [stretch.label],
            "labels": list(source.labels),
            "group": source.group if len(source.labels) == 1 else stretch.label,
            "package": source.package,
            "start_s": stretch.start_s,
            "score": stretch.score,
            "latent": stretch.latent,
        }
