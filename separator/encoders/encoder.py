"""What the rest of the package asks of a text encoder; it knows no particular one."""

from typing import Protocol

import numpy as np

# What FiLM takes in every published checkpoint.
CONDITION_SIZE = 512


class TextEncoder(Protocol):
    @property
    def encoder_id(self) -> str:
        """Equal for two encoders only if they map every text to the same condition."""
        ...

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Conditions (Q, 512), float32, of length 1; each depends on its own text alone."""
        ...
