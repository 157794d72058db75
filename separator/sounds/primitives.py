"""Build oscillators, noise, filters, envelopes and rooms. Pure functions.

Shapes: T samples.
"""

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, fftconvolve, iirpeak, sosfilt, tf2sos

Rng = np.random.Generator


def oscillate(freq_hz: np.ndarray | float, num_samples: int, rate_hz: int) -> np.ndarray:
    """Compute the phase in cycles of an oscillator at a frequency, constant or (T,)."""
    return np.cumsum(np.broadcast_to(np.asarray(freq_hz, float), num_samples)) / rate_hz


def sine(freq_hz: np.ndarray | float, num_samples: int, rate_hz: int) -> np.ndarray:
    return np.sin(2 * np.pi * oscillate(freq_hz, num_samples, rate_hz))


def harmonics(
    freq_hz: np.ndarray | float, levels: Sequence[float], num_samples: int, rate_hz: int
) -> np.ndarray:
    """Sum harmonics with the given levels; those above half the rate are left out."""
    phase = oscillate(freq_hz, num_samples, rate_hz)
    top = float(np.max(freq_hz))
    out = np.zeros(num_samples)
    for number, level in enumerate(levels, start=1):
        if number * top < rate_hz / 2:
            out += level * np.sin(2 * np.pi * number * phase)
    return out


def noise(rng: Rng, num_samples: int, slope_db: float = 0.0) -> np.ndarray:
    """Make Gaussian noise of RMS 1 whose spectrum changes by `slope_db` per octave (-3: pink)."""
    white = rng.standard_normal(num_samples)
    if slope_db == 0:
        return white
    spectrum = np.fft.rfft(white)
    octaves = np.log2(np.maximum(np.arange(len(spectrum)), 1) / max(1, len(spectrum) / 8))
    shaped = np.fft.irfft(spectrum * 10 ** (np.maximum(octaves, -7) * slope_db / 20), num_samples)
    return shaped / (np.sqrt(np.mean(shaped**2)) + 1e-12)


def band(
    x_T: np.ndarray, low_hz: float | None, high_hz: float | None, rate_hz: int, order: int = 2
) -> np.ndarray:
    """Filter (Butterworth): band-pass; high-pass without `high_hz`; low-pass without `low_hz`."""
    top = 0.49 * rate_hz
    if low_hz is None:
        assert high_hz is not None
        sos = butter(order, min(high_hz, top), "lowpass", fs=rate_hz, output="sos")
    elif high_hz is None:
        sos = butter(order, min(low_hz, top), "highpass", fs=rate_hz, output="sos")
    else:
        edges = (min(low_hz, 0.9 * top), min(high_hz, top))
        sos = butter(order, edges, "bandpass", fs=rate_hz, output="sos")
    return sosfilt(sos, x_T)  # pyright: ignore[reportReturnType]


def resonate(x_T: np.ndarray, freq_hz: float, quality: float, rate_hz: int) -> np.ndarray:
    """Filter by a resonance (peak gain 1) with a bandwidth of `freq_hz / quality`."""
    # A band as wide as its centre is high is the widest that stays stable at any rate.
    numerator, denominator = iirpeak(min(freq_hz, 0.49 * rate_hz), max(1.0, quality), fs=rate_hz)
    return sosfilt(tf2sos(numerator, denominator), x_T)  # pyright: ignore[reportReturnType]


def decay(num_samples: int, t60_s: float, rate_hz: int, attack_s: float = 0.002) -> np.ndarray:
    """Make the envelope of a strike: a short rise, then -60 dB within `t60_s`."""
    t = np.arange(num_samples) / rate_hz
    return np.minimum(t / max(attack_s, 1e-6), 1.0) * 10 ** (-3 * t / t60_s)


def hold(num_samples: int, attack_s: float, release_s: float, rate_hz: int) -> np.ndarray:
    """Make an envelope of full level with raised-cosine ends."""
    t = np.arange(num_samples)
    rise = np.clip(t / max(1.0, attack_s * rate_hz), 0, 1)
    fall = np.clip((num_samples - 1 - t) / max(1.0, release_s * rate_hz), 0, 1)
    return 0.25 * (1 - np.cos(np.pi * rise)) * (1 - np.cos(np.pi * fall))


def wander(
    rng: Rng, num_samples: int, rate_hz: int, speed_hz: float, low: float, high: float
) -> np.ndarray:
    """Draw a smooth random curve (T,) between two values that turns about `speed_hz` times a
    second."""
    num_points = max(4, int(num_samples / rate_hz * speed_hz * 2) + 4)
    points = rng.uniform(low, high, num_points)
    at = np.linspace(1, num_points - 2, num_samples)
    i, f = at.astype(int), at % 1
    i = np.minimum(i, num_points - 3)
    smooth = (1 - np.cos(np.pi * f)) / 2
    return points[i] * (1 - smooth) + points[i + 1] * smooth


def add_at(out_T: np.ndarray, event: np.ndarray, start: int) -> None:
    """Add an event into `out_T` in place, cut where it leaves the array."""
    first, last = max(0, start), min(len(out_T), start + len(event))
    if last > first:
        out_T[first:last] += event[first - start : last - start]


def strew(rng: Rng, num_samples: int, rate_hz: int, per_second: float) -> np.ndarray:
    """Draw start samples of random events, `per_second` on average (Poisson)."""
    count = rng.poisson(per_second * num_samples / rate_hz)
    return np.sort(rng.integers(0, max(1, num_samples), count))


def reverberate(x_T: np.ndarray, rng: Rng, rate_hz: int, t60_s: float, wet: float) -> np.ndarray:
    """Add a room: decaying noise that loses its highs, of energy `wet`, after the direct sound."""
    length = max(64, int(t60_s * rate_hz))
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail = band(tail, 80.0, rng.uniform(3_000, 9_000), rate_hz, order=1)
    gap = int(rng.uniform(0.002, 0.02) * rate_hz)
    tail[:gap] = 0
    tail *= np.sqrt(wet / (np.sum(tail**2) + 1e-12))
    return x_T + fftconvolve(x_T, tail)[: len(x_T)]
