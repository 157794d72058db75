"""Synthesize small animals: the chirps of crickets, the croaks and peeps of frogs, buzzing.

Shapes: T samples, H harmonics.
"""

import numpy as np

from separator.sounds.events import alternate, buzz, gather, glide, line_up, utter
from separator.sounds.primitives import band, harmonics, hold, noise, oscillate, sine, wander
from separator.sounds.take import Take


def _chirp_cricket(take: Take) -> np.ndarray:
    """Chirp as one cricket: a few pulses each time, or trills of many."""
    rate_hz = take.rate_hz
    pulse = int(rate_hz / take.uniform(25, 65))
    short = take.chance(0.6)
    count = int(take.rng.integers(2, 6) if short else take.rng.integers(15, 60))
    cycle = np.arange(pulse) / pulse / take.uniform(0.5, 0.95)
    wing = np.sin(np.pi * np.clip(cycle, 0, 1)) ** 1.5
    carrier_hz = take.log_uniform(2_900, 5_800) * (1 - 0.04 * cycle)
    carrier = harmonics(carrier_hz, (1, take.uniform(0, 0.1)), pulse, rate_hz)
    grow = np.repeat(np.linspace(take.uniform(0.5, 1), 1, count), pulse)
    chirp = np.tile(wing * carrier, count) * grow
    pause_s = take.log_uniform(0.12, 0.6) if short else take.uniform(0.02, 0.3)
    return alternate(take, lambda: chirp, (pause_s, 1.1 * pause_s))


def make_crickets(take: Take) -> np.ndarray:
    rng, num_samples, rate_hz = take.rng, take.num_samples, take.rate_hz
    if take.chance(0.3):  # a cicada: a buzz of clicks, far too quick to be told apart
        centre_hz, width = take.log_uniform(3_800, 6_000), take.uniform(0.1, 0.25)
        rasp = noise(rng, num_samples)
        rasp = band(rasp, centre_hz * (1 - width), centre_hz * (1 + width), rate_hz)
        clicks = 0.5 + 0.5 * sine(take.uniform(70, 200), num_samples, rate_hz)
        swell_T = wander(rng, num_samples, rate_hz, take.uniform(0.2, 2), 0.3, 1)
        return rasp * clicks ** take.uniform(1, 4) * swell_T
    return gather(take, _chirp_cricket, take.choose(0, 1, 3), (-15, -2))


def _croak(take: Take) -> np.ndarray:
    """Croak as one frog: one or two parts, each a run of pulses in a hollow throat."""
    rate_hz, deep = take.rate_hz, take.chance(0.35)
    throat_hz = take.log_uniform(180, 350) if deep else take.log_uniform(450, 1_000)
    pulse_hz = take.uniform(60, 110) if deep else take.log_uniform(22, 65)
    parts = []
    for lift in take.choose((1,), (1,), (1, 1.35), (1, 1)):
        length_s = take.uniform(0.2, 0.6) if deep else take.uniform(0.12, 0.4)
        length = int(length_s * rate_hz)
        pulses_T = pulse_hz * glide([take.uniform(0.7, 1), 1, take.uniform(0.9, 1.4)], length)
        clicks = buzz(pulses_T, np.ones(150), rate_hz)
        throat = ((lift * throat_hz, 6, 1.0), (lift * throat_hz * take.uniform(1.8, 2.6), 8, 0.5))
        croak = utter(clicks, throat, rate_hz)
        parts.append(croak * hold(length, 0.2 * length_s, 0.3 * length_s, rate_hz))
    croak = line_up(parts, [take.uniform(0.01, 0.08)] * len(parts), rate_hz)
    pause_s = take.log_uniform(0.15, 1.2)
    return alternate(take, lambda: croak, (pause_s, take.uniform(1, 1.8) * pause_s))


def _peep(take: Take) -> np.ndarray:
    """Call as one tree frog: short high peeps, often in twos, at a steady pace."""
    rate_hz, high_hz = take.rate_hz, take.log_uniform(1_600, 4_200)
    length_s = take.log_uniform(0.04, 0.25)
    length = int(length_s * rate_hz)
    pitch_T = high_hz * glide([take.uniform(0.85, 1), 1, take.uniform(0.95, 1.1)], length)
    peep = sine(pitch_T, length, rate_hz) * hold(length, 0.2 * length_s, 0.5 * length_s, rate_hz)
    if take.chance(0.4):  # trilled
        pulse_T = oscillate(take.log_uniform(25, 90), length, rate_hz)
        peep *= 0.55 + 0.45 * np.cos(2 * np.pi * pulse_T)
    number = take.choose(1, 1, 2)
    call = line_up([peep] * number, [take.uniform(0.02, 0.1)] * number, rate_hz)
    pause_s = take.log_uniform(0.1, 0.8)
    return alternate(take, lambda: call, (pause_s, take.uniform(1, 1.6) * pause_s))


def make_frog(take: Take) -> np.ndarray:
    if take.chance(0.3):
        return gather(take, _peep, take.choose(2, 5, 9), (-14, -1))
    return gather(take, _croak, take.choose(0, 1, 3), (-12, -1))


def _buzz_past(take: Take) -> np.ndarray:
    """Buzz as one insect that flies to and fro: nearer is louder."""
    rng, num_samples, rate_hz = take.rng, take.num_samples, take.rate_hz
    wings_T = take.log_uniform(150, 290) * wander(rng, num_samples, rate_hz, 1, 0.9, 1.1)
    wings_T *= wander(rng, num_samples, rate_hz, take.uniform(8, 20), 0.985, 1.015)
    levels_H = rng.uniform(0.3, 1, 30) * np.arange(1, 31) ** -take.uniform(0.5, 1.1)
    phases_H = np.exp(2j * np.pi * rng.random(30))  # a hum, not the clicks of a throat
    tone = buzz(wings_T, phases_H * levels_H / np.sum(levels_H), rate_hz)
    tone = tone + take.log_uniform(0.01, 0.05) * noise(rng, num_samples)
    nearness_db = wander(rng, num_samples, rate_hz, take.log_uniform(0.2, 1), -14, 0)
    return tone * 10 ** (nearness_db / 20)


def make_bee(take: Take) -> np.ndarray:
    return gather(take, _buzz_past, take.choose(0, 0, 1), (-9, -1))
