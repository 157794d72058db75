"""Encode short sounds for browsers: m4a, which all of them play. Shapes: C channels, T samples."""

from pathlib import Path

import numpy as np

from separator.audio.format import AudioFormat
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings

BITRATE_BPS = 64_000


def encode_preview(samples_CT: np.ndarray, rate_hz: int, path: Path) -> None:
    """Write a sound for a browser; if it has more than two channels, write their mean."""
    if len(samples_CT) > 2:
        samples_CT = samples_CT.mean(0, keepdims=True)
    settings = EncodeSettings("m4a", bitrate_bps=BITRATE_BPS)
    encode([samples_CT], path, AudioFormat(rate_hz, len(samples_CT)), settings=settings)
