"""Synthesize steady sounds: the hum of mains, hiss, and the static of radios and records.

Shapes: T samples.
"""

import numpy as np

from separator.sounds import primitives as p
from separator.sounds.events import buzz, normalize
from separator.sounds.take import Take


def make_hum(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    kind, mains_hz = take.choose("mains", "transformer", "fridge"), take.choose(50.0, 60.0)
    number = np.arange(1, int(900 / mains_hz))
    levels = np.exp(take.rng.normal(0, 0.7, len(number))) * number ** -take.uniform(0.6, 1.6)
    # An iron core is pulled twice in a period, so that it sounds at even harmonics.
    even = number % 2 == 0
    levels *= np.where(even, 1, take.uniform(0, 0.15)) if kind == "transformer" else 1
    levels *= take.rng.choice((-1, 1), len(number))
    freq = mains_hz * (1 + 0.001 * p.wander(take.rng, count, rate, 0.2, -1, 1))
    out = normalize(buzz(freq, levels, rate))
    sway = p.sine(take.log_uniform(0.15, 1.2), count, rate)
    if kind == "fridge":
        motor = p.band(p.noise(take.rng, count, -3.0), 60, 400, rate)
        out += take.uniform(0.05, 0.25) * normalize(motor)
    return out * (1 - take.uniform(0, 0.25) * sway)


def make_static(take: Take) -> np.ndarray:
    """Make the noise of an old radio or record: a band that comes and goes, with crackles."""
    count, rate = take.num_samples, take.rate_hz
    low_hz, high_hz = take.log_uniform(50, 400), take.log_uniform(900, 5_000)
    out = p.band(p.noise(take.rng, count, take.uniform(-4, 0)), low_hz, high_hz, rate)
    out = normalize(out) * 10 ** (p.wander(take.rng, count, rate, 0.7, -8, 0) / 20)
    if take.chance(0.6):
        crackles = np.zeros(count)
        crackles[p.strew(take.rng, count, rate, take.log_uniform(3, 60))] = 1
        out += take.uniform(0.1, 0.6) * normalize(p.band(crackles, 600, high_hz, rate))
    return out


def make_hiss(take: Take) -> np.ndarray:
    return make_static(take) if take.chance(0.3) else make_steady_hiss(take)


def make_steady_hiss(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    out = p.noise(take.rng, count, take.choose(0.0, 0.0, take.uniform(-2, 3)))
    if take.chance(0.5):  # Steam: a jet is loudest around one pitch.
        jet_hz, width = take.log_uniform(2_000, 6_500), take.uniform(1.3, 2.2)
        out += take.uniform(1, 4) * p.band(out, jet_hz / width, jet_hz * width, rate, order=1)
    out = p.band(out, take.log_uniform(400, 3_500), None, rate, order=int(take.rng.integers(1, 4)))
    if take.chance(0.4):
        out = p.band(out, None, take.log_uniform(6_000, 14_000), rate, order=1)
    return out * p.wander(take.rng, count, rate, 0.5, 0.93, 1)
