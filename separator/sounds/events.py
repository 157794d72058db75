"""Schedule calls and hits, shape voices and tones, and describe classes of sounds.

Shapes: T samples, H harmonics.
"""

from collections.abc import Callable, Sequence

import numpy as np

from separator.sounds.primitives import add_at, noise, oscillate, resonate
from separator.sounds.take import SoundClass, Take

Formant = tuple[float, float, float]  # centre in Hz, quality, level

_TABLE_SIZE = 8_192


def describe(
    name: str, make: Callable[[Take], np.ndarray], captions: str, paraphrases: str
) -> SoundClass:
    """Define a class in a group of its own; commas separate captions and paraphrases."""
    told, untrained = tuple(captions.split(", ")), tuple(paraphrases.split(", "))
    return SoundClass(name, name, told, untrained, make)


def gain(level_db: float) -> float:
    return 10 ** (level_db / 20)


def normalize(x_T: np.ndarray) -> np.ndarray:
    """Scale to RMS 1, so that layers can be mixed at chosen levels."""
    return x_T / (np.sqrt(np.mean(x_T**2)) + 1e-12)


def delay_first(take: Take) -> float:
    """Draw the seconds until the first event: few, so that every take has one."""
    return take.uniform(0, min(0.3, 0.2 * take.duration_s))


def pick_starts(take: Take, period_s: tuple[float, float]) -> list[float]:
    """Draw start times in seconds of events with random periods, the first of them early."""
    starts = [delay_first(take)]
    while starts[-1] < take.duration_s:
        starts.append(starts[-1] + take.uniform(*period_s))
    return starts[:-1]


def alternate(
    take: Take, call: Callable[[], np.ndarray], pause_s: tuple[float, float]
) -> np.ndarray:
    """Alternate calls and pauses until the take is full; `call` makes the samples of each."""
    out = np.zeros(take.num_samples)
    start = int(delay_first(take) * take.rate_hz)
    while start < take.num_samples:
        event = call()
        add_at(out, take.uniform(0.7, 1) * event, start)
        start += len(event) + int(take.uniform(*pause_s) * take.rate_hz) + 1
    return out


def gather(
    take: Take, make: Callable[[Take], np.ndarray], others: int, level_db: tuple[float, float]
) -> np.ndarray:
    """Mix one sound that is near with others of its kind at lower levels."""
    out = make(take)
    for _ in range(others):
        out = out + gain(take.uniform(*level_db)) * make(take)
    return out


def line_up(events: Sequence[np.ndarray], gaps: Sequence[float], rate_hz: int) -> np.ndarray:
    """Put events one after another, each followed by a gap in seconds; below 0 they overlap."""
    starts = [0]
    for event, gap in zip(events, gaps, strict=False):
        starts.append(max(0, starts[-1] + len(event) + int(gap * rate_hz)))
    ends = [start + len(event) for start, event in zip(starts, events, strict=False)]
    out = np.zeros(max(ends))
    for start, event in zip(starts, events, strict=False):
        add_at(out, event, start)
    return out


def glide(points: Sequence[float], num_samples: int) -> np.ndarray:
    """Draw a curve (T,) through equally spaced points, in equal ratios between two of them."""
    at_T = np.linspace(0, len(points) - 1, num_samples)
    return np.exp(np.interp(at_T, np.arange(len(points)), np.log(points)))


def buzz(freq_hz_T: np.ndarray, levels_H: np.ndarray, rate_hz: int) -> np.ndarray:
    """Make a tone with harmonics of the given levels; complex levels set their phases.

    Harmonics that ever come near half the rate are left out.
    """
    count = min(len(levels_H), max(1, int(0.47 * rate_hz / np.max(freq_hz_T))))
    spectrum = np.zeros(_TABLE_SIZE // 2 + 1, complex)
    spectrum[1 : count + 1] = 0.5 * _TABLE_SIZE * levels_H[:count]
    # One cycle, looked up by phase: far quicker than a sine for each harmonic.
    table = np.fft.irfft(spectrum, _TABLE_SIZE)
    phase = oscillate(freq_hz_T, len(freq_hz_T), rate_hz)
    return table[(phase * _TABLE_SIZE).astype(int) % _TABLE_SIZE]


def voice(take: Take, freq_hz_T: np.ndarray, tilt: float, breath: float) -> np.ndarray:
    """Make the sound of vocal cords: harmonics that fall as `number ** -tilt`, and breath."""
    tone = normalize(buzz(freq_hz_T, np.arange(1, 60) ** -tilt, take.rate_hz))
    return tone + breath * noise(take.rng, len(tone), -1)


def utter(source_T: np.ndarray, formants: Sequence[Formant], rate_hz: int) -> np.ndarray:
    """Filter a source by the formants of throat and mouth, at RMS 1."""
    out = 0.03 * source_T
    for freq_hz, quality, level in formants:
        out = out + level * resonate(source_T, freq_hz, quality, rate_hz)
    return normalize(out)
