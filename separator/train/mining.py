"""Find, in weakly labelled sounds, the 2 s in which each label sounds, and embed them.

The labels are of whole files, so a detector says where each one sounds. There are three rules:
`official` is that of the zero-shot paper's code (audio/anchors.py); `uss` is that of the later USS,
which repeats a curve's ends; `windows`, our own, asks the detector about 2 s at a time and needs no
exact curve.

Shapes: T samples, N rows in time, K labels, D features.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
Places = Iterator[tuple[int, float]]  # of each class: first sample, score
# Rule `windows`: samples from one window to the next, and how many windows are averaged.
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
        "licence": pa.string(),
        "start_s": pa.float64(),
        "score": pa.float32(),
        "latent": pa.list_(pa.float32()),
    }
)


@dataclass(frozen=True)
class Mined:
    """The 2 s of a sound in which a label is strongest; the whole sound if it is shorter."""

    label: str
    start_s: float
    score: float  # of these 2 s, 0..1
    latent: np.ndarray  # (D,)


def mine(
    detector: Detector, mono_T: Tensor, labels: Sequence[str], rule: Rule = "official"
) -> Iterator[Mined]:
    """Yield the 2 s of each label that the detector knows; `mono_T` is at 32 kHz."""
    known = [label for label in labels if label in detector.labels]
    if not known:
        return
    columns = [detector.labels.index(label) for label in known]
    if rule == "windows":
        places = find_by_windows(detector, mono_T, columns)
    else:
        find = find_anchor if rule == "official" else find_anchor_uss
        places = find_by_curves(detector, mono_T, columns, find)
    for label, (begin, score) in zip(known, places, strict=True):
        begin = max(0, min(begin, len(mono_T) - SEGMENT))
        latent_D = detector.infer(mono_T[None, begin : begin + SEGMENT]).latent[0].numpy()
        yield Mined(label, begin / RATE_HZ, score, latent_D)


def find_by_curves(
    detector: Detector,
    mono_T: Tensor,
    columns: Sequence[int],
    find: Callable[[np.ndarray], tuple[int, int]],
) -> Places:
    """Find where the curve of each class is highest over 2 s.

    A longer sound is cut into pieces of ten seconds; the piece with the highest place counts.
    """
    starts = range(0, max(1, len(mono_T)), CLIP)
    pieces = [mono_T[start : start + CLIP] for start in starts]
    padded = torch.stack([F.pad(piece_T, (0, CLIP - len(piece_T))) for piece_T in pieces])
    framewise_BSK = detector.infer(padded).framewise.numpy()
    for column in columns:
        begin, score = 0, -1.0
        for start, curve_S in zip(starts, framewise_BSK[..., column], strict=True):
            anchor = find(curve_S)
            mean = average(curve_S, *anchor)
            if mean > score:
                begin, score = start + anchor[0], mean
        yield begin, score


def find_by_windows(detector: Detector, mono_T: Tensor, columns: Sequence[int]) -> Places:
    """Find the 2 s in which each class scores highest, on average with the neighbouring windows.

    The mean of the neighbours' logits puts an event into the middle of the 2 s.
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


def make_rows(source: Source, found: Iterable[Mined]) -> Iterator[dict[str, Any]]:
    """Make a row of a list for each result, for `task: examples`. If the source's list names no
    group, each label is a group."""
    has_group = source.is_grouped or len(source.labels) == 1
    for each in found:
        yield {
            "audio": source.uri,
            "kind": each.label,
            "captions": [each.label],
            "labels": list(source.labels),
            "group": source.group if has_group else each.label,
            "package": source.package,
            "licence": source.licence,
            "start_s": each.start_s,
            "score": each.score,
            "latent": each.latent,
        }
