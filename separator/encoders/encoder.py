"""Define the interface of encoders, which turn a query into a condition (a vector).

    encoder = read_mini(path)
    encoder.encode_texts(["rain", "an emergency siren"])    # (2, 512), float32
    encoder.encoder_id                                      # "mini:9c1f..."

A checkpoint names the encoder it was trained with by `encoder_id`; lookup.py loads it. A new
encoder has to provide `TextEncoder` and a line in `lookup.find_encoder`. To measure how similar
stems are to their query, and to take example sounds, it also needs an audio side, see
`AudioEncoder` in similarity.py.
"""

from typing import Protocol

import numpy as np

# The input of FiLM in every published checkpoint.
CONDITION_SIZE = 512


class TextEncoder(Protocol):
    """Encode texts; conditions of different `encoder_id` must not be mixed."""

    @property
    def encoder_id(self) -> str:
        """A hash of the weights and all else that changes a condition: equal ids, equal
        conditions."""
        ...

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Return conditions (Q, 512), float32; each depends on its own text alone. Their length is
        1, except with a CLIP whose id ends in `:raw`."""
        ...
