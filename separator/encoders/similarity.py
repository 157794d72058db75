"""How like its query a sound is, as the encoder hears it. Arrays in, a number out.

Shapes: C channels, T samples, D condition.
"""

import math

import numpy as np
import torch

from separator.audio.level import find_loudest
from separator.encoders.clap_audio import ClapAudio
from separator.encoders.mini import MiniEncoder

AudioEncoder = MiniEncoder | ClapAudio


class Listener:
    """Holds the encoder, on a device."""

    def __init__(
        self, encoder: AudioEncoder, device: torch.device | str = "cpu", precision: str = "fp32"
    ) -> None:
        # For mini's convolutions: a third less time on a CPU.
        encoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.encoder = encoder.to(device)
        if isinstance(encoder, ClapAudio):
            encoder.in_bf16 = precision == "bf16"

    def compare(self, samples_CT: np.ndarray, rate_hz: int, condition_D: np.ndarray) -> float:
        """The cosine between the query and the loudest seconds; NaN of silence."""
        loudest_CT = samples_CT[:, find_loudest(samples_CT, round(self.encoder.listen_s * rate_hz))]
        if not loudest_CT.any():
            return math.nan
        return float(self.encoder.encode_audio(loudest_CT, rate_hz) @ condition_D)
