"""Fit the curve that turns an encoder's similarities into probabilities, on scenes of known truth.

Shapes: N rows in time.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from separator.detect.activity import mark_rows
from separator.detect.curves import HOP_S, AudioSide, BySimilarity, Calibration
from separator.evaluation.scenes import RATE_HZ, Scene

FIRST_SEED = 600_000  # of the scenes for fitting; measurements use other scenes
STEPS = 50


def compare_scenes(
    encoder: AudioSide, conditions: Mapping[str, np.ndarray], scenes: Iterable[Scene]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine (N,) of every kind in every row that is not silent, and whether it sounds.

    `conditions` are the conditions of the kinds of sounds, by name.
    """
    cosines, is_there = [], []
    for scene in scenes:
        curves = BySimilarity(encoder, conditions).measure(scene.samples[None], RATE_HZ)
        for kind, curve in curves.items():
            active_N = mark_rows(scene.events.get(kind, []), len(curve.scores), HOP_S)
            is_heard_N = curve.scores > -1
            cosines.append(curve.scores[is_heard_N])
            is_there.append(active_N[is_heard_N])
    return np.concatenate(cosines), np.concatenate(is_there)


def fit_calibration(cosine_N: np.ndarray, is_there_N: np.ndarray) -> Calibration:
    """Fit a logistic curve: its slope by likelihood, its 0.5 at the threshold of the highest F1.

    The likeliest curve would exceed 0.5 in hardly any row, because most sounds are absent most of
    the time.
    """
    assert 0 < is_there_N.mean() < 1, "rows with and without the sound are needed"
    slope, _ = fit_line(cosine_N, is_there_N)
    return Calibration(slope, -slope * find_best_threshold(cosine_N, is_there_N))


def fit_line(x_N: np.ndarray, is_there_N: np.ndarray) -> tuple[float, float]:
    """Return slope and offset of the logistic curve with the highest likelihood (Newton)."""
    x_N2 = np.stack([x_N, np.ones_like(x_N)], 1)
    line = np.zeros(2)
    for _ in range(STEPS):
        p_N = 1 / (1 + np.exp(-(x_N2 @ line)))
        gradient = x_N2.T @ (is_there_N - p_N)
        bend = (x_N2 * (p_N * (1 - p_N))[:, None]).T @ x_N2
        step = np.linalg.solve(bend + 1e-9 * np.eye(2), gradient)
        line = line + step
        if np.abs(step).max() < 1e-8:
            break
    return float(line[0]), float(line[1])


def find_best_threshold(x_N: np.ndarray, is_there_N: np.ndarray) -> float:
    """Return the value above which the F1 of rows is highest."""
    order = np.argsort(-x_N, kind="stable")
    hits_N = np.cumsum(is_there_N[order])
    f1_N = 2 * hits_N / (np.arange(1, len(x_N) + 1) + is_there_N.sum())
    return float(x_N[order[int(f1_N.argmax())]])
