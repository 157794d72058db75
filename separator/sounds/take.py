"""Define a take (a seeded random source, a length, a rate) and a class of sounds.

Shapes: T samples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Take:
    """The input of a sound. `held_out` takes use voices and instruments kept from training."""

    rng: np.random.Generator
    num_samples: int
    rate_hz: int
    held_out: bool = False

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.rate_hz

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def log_uniform(self, low: float, high: float) -> float:
        """Draw a pitch or a rate, uniform in its logarithm."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choose(self, *options):
        """Draw one of the options, all equally likely."""
        return options[int(self.rng.integers(len(options)))]


@dataclass(frozen=True)
class SoundClass:
    """A kind of sound that captions can name. `captions[0]` is its label.

    Classes of one `group` fit each other's captions and are never mixed. `paraphrases` use other
    words than all texts of the training. `make` returns dry mono samples at any level.
    """

    name: str
    group: str
    captions: tuple[str, ...]
    paraphrases: tuple[str, ...]
    make: Callable[[Take], np.ndarray]
