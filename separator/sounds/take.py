"""What a sound is made from: a seeded random source, a length and a rate; and how classes are told.

Shapes: T samples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Take:
    """One request for a sound. `held_out` takes use voices and instruments kept from training."""

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
        """For pitches and rates, where ratios count."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choose(self, *options):
        """One of the options, all equally likely."""
        return options[int(self.rng.integers(len(options)))]


@dataclass(frozen=True)
class SoundClass:
    """A kind of sound one can name. `captions[0]` is its label.

    Classes of one `group` fit each other's captions and are never mixed. `paraphrases` are never
    trained with. `make` gives dry mono samples at any level, silent where nothing sounds. `needs`
    is the program without which it cannot be made.
    """

    name: str
    group: str
    captions: tuple[str, ...]
    paraphrases: tuple[str, ...]
    make: Callable[[Take], np.ndarray]
    needs: str | None = None
