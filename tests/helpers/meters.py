"""Measure loudness in one call."""

import numpy as np

from separator.audio.format import AudioFormat
from separator.audio.loudness import Meter


def measure_loudness(samples_CT: np.ndarray, rate_hz: int) -> float:
    meter = Meter(AudioFormat(rate_hz, 2, "stereo"))
    meter.add(samples_CT)
    return meter.loudness_lufs()
