"""Draw the loss curve."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class PlottedFigure:
    """Name the figure that is shown beside the loss: its key in the history, label and unit."""

    key: str
    label: str
    unit: str


SDRI = PlottedFigure("sdri_db", "SDRi", "dB")


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Return the running mean over up to `width` values, NaN left out."""
    good = np.isfinite(values)
    sums = np.cumsum(np.where(good, values, 0))
    counts = np.cumsum(good)
    sums[width:] -= sums[:-width].copy()
    counts[width:] -= counts[:-width].copy()
    return sums / np.maximum(counts, 1)


def draw_curve(history: list[dict[str, float]], shown: PlottedFigure, path: Path) -> None:
    """Draw the loss and one figure over steps, each with its running mean, to a PNG."""
    from matplotlib import figure as plots  # imported here: the import takes 0.3 s

    step = np.array([row["step"] for row in history])
    figure = plots.Figure(figsize=(8, 5), layout="constrained")
    width = max(1, min(200, len(history) // 10))
    for axes, key, label in zip(
        figure.subplots(2, 1, sharex=True),
        ("loss", shown.key),
        ("loss", f"{shown.label} of the batch {f'[{shown.unit}]' if shown.unit else ''}"),
        strict=True,
    ):
        values = np.array([row[key] for row in history], float)
        axes.plot(step, values, color="0.85", linewidth=0.5)
        axes.plot(step, smooth(values, width), color="C0")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    figure.axes[1].set_xlabel("step")
    figure.savefig(path, dpi=100)
