"""Mix two sounds as zero-shot separation trains and tests: both at the energy of the first. Pure.

Shapes: T samples.
"""

from typing import Literal

import numpy as np

Mode = Literal["mixture", "clean", "silence"]
MODES: tuple[Mode, ...] = ("mixture", "clean", "silence")

GAINS = (0.02, 50.0)
MIN_ENERGY = 1e-8


def match_first(first_T: np.ndarray, second_T: np.ndarray) -> np.ndarray:
    """Scale the second sound to the energy of the first, by a gain within limits."""
    energy, other = (float(np.square(x).mean()) for x in (first_T, second_T))
    gain = np.clip(np.sqrt(energy / max(MIN_ENERGY, other)), *GAINS)
    return second_T * np.float32(gain)


def make_samples(
    first_T: np.ndarray, second_T: np.ndarray, mode: Mode
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Make (heard, target) of the first sound's query and of the second's.

    `mixture`: both are heard, one is the target. `clean`: only the target is heard. `silence`: only
    the other one is heard, and the target is silence.
    """
    second_T = match_first(first_T, second_T)
    if mode == "clean":
        return [(first_T, first_T), (second_T, second_T)]
    if mode == "silence":
        return [(second_T, np.zeros_like(first_T)), (first_T, np.zeros_like(second_T))]
    mixture_T = first_T + second_T
    return [(mixture_T, first_T), (mixture_T, second_T)]
