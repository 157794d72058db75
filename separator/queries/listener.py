"""How like its query a sound is, as the encoder hears it. Arrays in, a number out.

Shapes: C channels, T samples, D condition.
"""

import math

import numpy as np
import torch

from separator.audio.level import find_loudest
from separator.queries.mini import MiniEncoder

LISTEN_S = 2.0  # more of it tells stems of absent sounds no better (docs/log.md)


class Listener:
    """Holds the encoder, on the device that it is on."""

    def __init__(self, encoder: MiniEncoder) -> None:
        self.encoder = encoder
        # A third less time on a CPU.
        encoder.audio.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def compare(self, samples_CT: np.ndarray, rate_hz: int, condition_D: np.ndarray) -> float:
        """The cosine between the query and the loudest seconds; NaN of silence."""
        loudest_CT = samples_CT[:, find_loudest(samples_CT, round(LISTEN_S * rate_hz))]
        if not loudest_CT.any():
            return math.nan
        return float(self.encoder.encode_audio(loudest_CT, rate_hz) @ condition_D)
