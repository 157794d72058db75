"""Synthesize applause: people who clap at paces of their own.

Shapes: T samples.
"""

import numpy as np

from separator.sounds.events import gain, normalize
from separator.sounds.primitives import add_at, band, decay, noise, resonate, wander
from separator.sounds.take import Take


def _clap(take: Take, hollow_hz: float) -> np.ndarray:
    length = int(0.06 * take.rate_hz)
    slap = noise(take.rng, length) * decay(length, take.uniform(0.02, 0.06), take.rate_hz, 0.0008)
    out = resonate(slap, hollow_hz, take.uniform(1, 2.5), take.rate_hz)
    return normalize(out + take.uniform(0.1, 0.4) * band(slap, 1_500, 8_000, take.rate_hz))


def make_applause(take: Take) -> np.ndarray:
    rng, num_samples, rate_hz = take.rng, take.num_samples, take.rate_hz
    out = np.zeros(num_samples)
    claps = [_clap(take, take.log_uniform(650, 2_400)) for _ in range(16)]
    for person in range(int(take.log_uniform(5, 130))):
        near = take.log_uniform(0.2, 1)
        heard = [near * claps[(person + turn) % len(claps)] for turn in (0, 1)]
        period_s = take.uniform(0.19, 0.42)
        count = int(take.duration_s / period_s) + 2
        starts_s = period_s * (np.arange(count) - take.rng.random() + 0.08 * rng.random(count))
        for number, start in enumerate((starts_s * rate_hz).astype(int)):
            add_at(out, heard[number % 2], start)
    if take.chance(0.4):  # a hall, or a recording of old, takes the highs
        out = band(out, take.uniform(150, 500), take.log_uniform(1_600, 5_000), rate_hz)
    if take.chance(0.3):  # so many that single claps are lost
        crowd = normalize(
            band(noise(rng, num_samples), 500, take.log_uniform(2_000, 6_000), rate_hz)
        )
        out = normalize(out) + gain(take.uniform(-6, 4)) * crowd
    return out * wander(rng, num_samples, rate_hz, 0.4, take.uniform(0.5, 1), 1)
