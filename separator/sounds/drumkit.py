"""Synthesize drums from notes: kick, snare, cymbals, toms and small percussion."""

from collections.abc import Callable, Sequence

import numpy as np

from separator.sounds.instruments import draw_build
from separator.sounds.primitives import add_at, band, decay, oscillate, resonate, sine
from separator.sounds.scores import (
    CLAP,
    CLOSED,
    COWBELL,
    CRASH,
    HIGH_TOM,
    KICK,
    LOW_TOM,
    MID_TOM,
    OPEN,
    PEDAL,
    RIDE,
    RIM,
    SIDE,
    SNARE,
    TAMBOURINE,
    Note,
)
from separator.sounds.take import Take
from separator.sounds.waves import ring

Rng = np.random.Generator
Drum = Callable[[Rng, int], np.ndarray]


def play_drums(take: Take, notes: Sequence[Note]) -> np.ndarray:
    """Play notes on a kit; hits of one drum differ in level and a little in colour."""
    build = draw_build(take, "drums")
    kit = {key: drum(build, take.rate_hz) for key, drum in KIT.items()}
    out = np.zeros(take.num_samples)
    for note in notes:
        hit = kit[note.pitch]
        if note.velocity < 0.5:  # a soft hit has less of the highs
            hit = 0.5 * (hit + np.concatenate([[0.0], hit[:-1]]))
        add_at(out, note.velocity**1.5 * hit, int(note.start_s * take.rate_hz))
    return out


def _kick(build: Rng, rate_hz: int) -> np.ndarray:
    length = int(0.5 * rate_hz)
    t = np.arange(length) / rate_hz
    low, drop = build.uniform(42, 65), build.uniform(60, 250)
    body = np.sin(2 * np.pi * oscillate(low + drop * np.exp(-t / 0.02), length, rate_hz))
    click = build.standard_normal(length) * decay(length, 0.015, rate_hz, 0.0003)
    return body * decay(length, build.uniform(0.2, 0.6), rate_hz) + build.uniform(0, 0.4) * click


def _snare(build: Rng, rate_hz: int) -> np.ndarray:
    length = int(0.4 * rate_hz)
    wires = band(build.standard_normal(length), build.uniform(800, 2_500), None, rate_hz)
    rattle = wires * decay(length, build.uniform(0.12, 0.35), rate_hz)
    first = build.uniform(150, 250)
    freqs = first * np.array([1.0, 1.5, 1.9, 2.3])
    shell = ring(freqs, build.uniform(0.1, 0.25), np.array([1, 0.6, 0.4, 0.3]), length, rate_hz)
    return 0.5 * rattle + build.uniform(0.3, 0.9) * shell


def _clap(build: Rng, rate_hz: int) -> np.ndarray:
    length = int(0.3 * rate_hz)
    out = np.zeros(length)
    for number in range(4):
        start = int(number * build.uniform(0.008, 0.012) * rate_hz)
        burst = build.standard_normal(length) * decay(length, 0.03 if number < 3 else 0.2, rate_hz)
        add_at(out, burst, start)
    return band(out, 800, 3_500, rate_hz)


def _rim(build: Rng, rate_hz: int) -> np.ndarray:
    freqs = build.uniform(0.8, 1.2) * np.array([1_700.0, 2_300, 420])
    return 1.2 * ring(freqs, 0.05, np.array([1, 0.6, 0.5]), int(0.08 * rate_hz), rate_hz)


def _cymbal(t60_low_s: float, t60_high_s: float, level: float) -> Drum:
    """Make a cymbal: many modes without order, and noise, above some kilohertz."""

    def make(build: Rng, rate_hz: int) -> np.ndarray:
        t60_s = build.uniform(t60_low_s, t60_high_s)
        length = int(min(2.0, t60_s) * rate_hz)
        freqs = build.uniform(2_500, 12_000, 24)
        metal = ring(freqs, t60_s, build.uniform(0.05, 0.25, 24), length, rate_hz)
        fizz = build.standard_normal(length) * decay(length, t60_s, rate_hz)
        fade = np.minimum(1, np.arange(length)[::-1] / (0.1 * length))
        return level * fade * band(metal + 0.6 * fizz, build.uniform(3_000, 6_500), None, rate_hz)

    return make


def _tom(low_hz: float) -> Drum:
    def make(build: Rng, rate_hz: int) -> np.ndarray:
        length = int(0.5 * rate_hz)
        bend = 1 + 0.3 * np.exp(-np.arange(length) / rate_hz / 0.04)
        tone = sine(low_hz * build.uniform(0.85, 1.2) * bend, length, rate_hz)
        slap = build.standard_normal(length) * decay(length, 0.03, rate_hz)
        return tone * decay(length, build.uniform(0.25, 0.6), rate_hz) + 0.2 * slap

    return make


def _tambourine(build: Rng, rate_hz: int) -> np.ndarray:
    length = int(0.2 * rate_hz)
    jingle = build.standard_normal(length) * decay(length, 0.15, rate_hz)
    return sum(
        (resonate(jingle, freq, 15, rate_hz) for freq in build.uniform(5_000, 7_500, 3)),
        np.zeros(length),
    )


def _cowbell(build: Rng, rate_hz: int) -> np.ndarray:
    freqs = build.uniform(0.9, 1.2) * np.array([540.0, 800, 1_620, 2_400])
    return 0.6 * ring(freqs, 0.3, np.array([1, 0.8, 0.3, 0.2]), int(0.3 * rate_hz), rate_hz)


KIT: dict[int, Drum] = {
    KICK: _kick,
    SNARE: _snare,
    SIDE: _snare,
    CLAP: _clap,
    RIM: _rim,
    CLOSED: _cymbal(0.05, 0.12, 0.35),
    PEDAL: _cymbal(0.06, 0.15, 0.3),
    OPEN: _cymbal(0.4, 0.9, 0.3),
    RIDE: _cymbal(0.8, 2.0, 0.25),
    CRASH: _cymbal(1.2, 3.0, 0.4),
    LOW_TOM: _tom(90),
    MID_TOM: _tom(130),
    HIGH_TOM: _tom(180),
    TAMBOURINE: _tambourine,
    COWBELL: _cowbell,
}
