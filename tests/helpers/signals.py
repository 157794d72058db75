"""Make signals for the meters, and measure them with our meters and ffmpeg's."""

import math
import re
import subprocess

import numpy as np
from scipy.signal import butter, sosfilt

from separator.audio.format import AudioFormat
from separator.audio.loudness import Meter
from separator.audio.peak import TruePeak


def measure(samples_CT, rate_hz, layout=None) -> float:
    meter = Meter(AudioFormat(rate_hz, len(samples_CT), layout))
    meter.add(samples_CT)
    return meter.loudness_lufs()


def measure_peak(samples_CT, rate_hz) -> float:
    meter = TruePeak(AudioFormat(rate_hz, len(samples_CT)))
    meter.add(samples_CT)
    return meter.peak_dbtp()


def make_tone(level_db, seconds, rate_hz=48_000, hz=997.0) -> np.ndarray:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * time_s)


def make_bursts(rate_hz, num_channels, seconds=6.0) -> np.ndarray:
    """Make bursts of noise in the band of speech, with long pauses of hum, softer at the end."""
    rng = np.random.default_rng(rate_hz + num_channels)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    level = np.select([time_s % 3 < 0.9, time_s % 3 < 1.3], [1.0, 0.25], 0.003)
    level = level * np.where(time_s > seconds / 2, 0.4, 1.0)
    band = butter(2, [100, min(7_000, 0.4 * rate_hz)], "bandpass", fs=rate_hz, output="sos")
    noise_CT = sosfilt(band, rng.standard_normal((num_channels, len(time_s))))
    return normalise(level * noise_CT + 0.01 * np.sin(2 * np.pi * 50 * time_s))


def make_chords(rate_hz, num_channels, seconds=6.0) -> np.ndarray:
    """Make struck chords that decay, each note in another mix of channels."""
    rng = np.random.default_rng(rate_hz - num_channels)
    out_CT = np.zeros((num_channels, round(seconds * rate_hz)))
    for start_s in np.arange(0, seconds, 1.1):
        rest_CT = out_CT[:, round(start_s * rate_hz) :]
        since_s = np.arange(rest_CT.shape[1]) / rate_hz
        for interval in (1, 5 / 4, 3 / 2):
            root_hz = interval * 2 ** rng.uniform(6.5, 9.5)
            note = sum(np.sin(2 * np.pi * k * root_hz * since_s) / k for k in range(1, 7))
            rest_CT += rng.uniform(0.1, 1, (num_channels, 1)) * note * np.exp(-3 * since_s)
    return normalise(out_CT)


def normalise(samples_CT) -> np.ndarray:
    return (0.8 * samples_CT / np.abs(samples_CT).max()).astype(np.float32)


def ask_ffmpeg(samples_CT, rate_hz, layout) -> tuple[float, float]:
    """Measure (LUFS, dBTP) with ffmpeg's ebur128."""
    peaks = "ebur128=metadata=1:peak=true:framelog=verbose,ametadata=print:file=-"
    command = [
        *("ffmpeg", "-v", "error", "-f", "f32le", "-ar", str(rate_hz), "-channel_layout", layout),
        *("-i", "pipe:0", "-af", peaks, "-f", "null", "-"),
    ]
    data = samples_CT.T.astype("<f4").tobytes()
    told = subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode()
    loudness = float(re.findall(r"r128\.I=(\S+)", told)[-1])
    return loudness, 20 * math.log10(
        max(float(value) for value in re.findall(r"r128\.true_peaks_ch\d+=(\S+)", told))
    )
