"""Synthesize instruments from notes: struck, plucked and held tones.

The build of an instrument is drawn from its number; numbers of `held_out` takes are never used in
training.
Shapes: T samples, P partials, L brightness levels, C points of a curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from separator.sounds.primitives import add_at, band, decay, hold, oscillate, resonate, sine
from separator.sounds.scores import Note
from separator.sounds.take import Take
from separator.sounds.waves import make_tables, read_tables, ring

Rng = np.random.Generator
NUM_BUILDS, NUM_HELD_OUT = 4_000, 400
CURVE_HZ = 250
DRAWBARS = np.array([0.5, 1.5, 1, 2, 3, 4, 5, 6, 8])


def draw_build(take: Take, name: str) -> Rng:
    """Return the random source of an instrument's build, fixed by a random number."""
    number = int(take.rng.integers(NUM_HELD_OUT if take.held_out else NUM_BUILDS))
    return np.random.default_rng([crc32(name.encode()), number + NUM_BUILDS * take.held_out])


def _tune(note: Note) -> float:
    return 440 * 2 ** ((note.pitch - 69) / 12)


def play_piano(take: Take, notes: Sequence[Note]) -> np.ndarray:
    """Play stretched partials that decay in two stages; loud notes are brighter."""
    build, rate = draw_build(take, "piano"), take.rate_hz
    stretch, hammer = build.uniform(1e-4, 8e-4), build.uniform(6.5, 9.5)
    tilt, sustain = build.uniform(0.9, 1.6), build.uniform(0.6, 1.4)
    detune, pedal = build.uniform(0, 0.0012), take.chance(0.3)
    out = np.zeros(take.num_samples)
    for note in notes:
        first_hz = _tune(note)
        partial = np.arange(1, int(np.clip(9_000 / first_hz, 3, 28)) + 1)
        freq = partial * first_hz * np.sqrt(1 + stretch * (first_hz / 260) * partial**2)
        level = np.abs(np.sin(np.pi * partial / hammer)) + 0.03
        level *= partial ** -(tilt + 1.2 * (0.8 - note.velocity)) * note.velocity**1.5
        t60_s = sustain * 9 * (110 / first_hz) ** 0.6 / (1 + 0.12 * partial)
        # Two strings a little apart: they start together, then one rings on.
        pair = freq * (1 + detune * (-1) ** partial)
        freqs, t60s = np.concatenate([freq, pair]), np.concatenate([0.3 * t60_s, t60_s])
        length_s = note.length_s + (0.6 if pedal else 0.15)
        length = min(int(length_s * rate), take.num_samples - int(note.start_s * rate))
        tone = ring(freqs, t60s, np.concatenate([level, 0.4 * level]), length, rate)
        knock = take.rng.standard_normal(min(length, rate // 50))
        knock *= 0.08 * note.velocity**2 * decay(len(knock), 0.02, rate)
        add_at(tone, knock, 0)
        add_at(out, tone * hold(len(tone), 0.002, 0.12, rate), int(note.start_s * rate))
    return out


def play_guitar(take: Take, notes: Sequence[Note]) -> np.ndarray:
    """Pluck strings on a wooden body or a pickup; the plucked place sets the partials."""
    build, rate = draw_build(take, "guitar"), take.rate_hz
    pluck, is_electric = build.uniform(0.08, 0.3), build.random() < 0.4
    tilt, ring_s = build.uniform(0.6, 1.5), build.uniform(1.5, 5.0) * (1.6 if is_electric else 1)
    dulling, muted = build.uniform(0.05, 0.3), take.chance(0.15)
    out = np.zeros(take.num_samples)
    for note in notes:
        first_hz = _tune(note) * (1 + 0.002 * take.rng.normal())
        partial = np.arange(1, int(np.clip(8_000 / first_hz, 4, 40)) + 1)
        level = np.sin(np.pi * partial * pluck) * partial**-tilt * note.velocity
        t60_s = ring_s * (200 / first_hz) ** 0.4 / (1 + dulling * partial) * (0.15 if muted else 1)
        length_s = 0.3 + (note.length_s if muted else 1.8 * note.length_s)
        length = min(int(length_s * rate), take.num_samples - int(note.start_s * rate))
        freq = partial * first_hz * (1 + 5e-5 * partial**2)
        tone = ring(freq, t60_s, level, length, rate) * hold(max(0, length), 0.001, 0.08, rate)
        click = take.rng.standard_normal(max(0, min(length, rate // 100)))
        add_at(tone, 0.15 * note.velocity * click * decay(len(click), 0.008, rate), 0)
        add_at(out, tone, int(note.start_s * rate))
    if is_electric:
        drive = build.uniform(0.5, 2.5)
        return np.tanh(drive * band(out, 70, build.uniform(3_000, 6_000), rate, order=1))
    body = resonate(out, build.uniform(95, 130), 4, rate) + resonate(
        out, build.uniform(190, 260), 5, rate
    )
    return out + build.uniform(0.3, 1.2) * body


def play_organ(take: Take, notes: Sequence[Note]) -> np.ndarray:
    """Sum drawbars or pipes; the level of a held note does not change."""
    build, rate = draw_build(take, "organ"), take.rate_hz
    bars = build.uniform(0, 1, len(DRAWBARS)) ** 1.5 / np.sqrt(DRAWBARS)
    bars[2] = max(bars[2], 0.6)
    is_church = build.random() < 0.5
    attack_s = build.uniform(0.03, 0.08) if is_church else build.uniform(0.004, 0.015)
    ranks = build.normal(1, 0.0012, (3 if is_church else 1, len(DRAWBARS)))
    never = 1e6
    out = np.zeros(take.num_samples)
    for note in notes:
        length = int((note.length_s + attack_s) * rate)
        length = min(length, take.num_samples - int(note.start_s * rate))
        freq = (_tune(note) * DRAWBARS * ranks).ravel()
        # Pipes start at any phase: together they would be loudest at first.
        phases = np.exp(2j * np.pi * take.rng.random(len(freq)))
        tone = ring(freq, never, np.tile(bars, len(ranks)) * phases, length, rate)
        add_at(out, tone * hold(len(tone), attack_s, attack_s, rate), int(note.start_s * rate))
    if not is_church and build.random() < 0.5:  # a rotating loudspeaker
        speed_hz = take.choose(0.8, 6.5) * take.uniform(0.9, 1.1)
        out = out * (1 + 0.18 * sine(speed_hz, take.num_samples, rate))
    return out


@dataclass(frozen=True)
class Reed:
    """The sound and movement of held tones; `partials` are levels from soft to loud."""

    partials: np.ndarray  # (L, P)
    attack_s: float
    release_s: float
    glide_s: float
    vibrato_hz: float
    vibrato: float
    breath: float


def _trace(take: Take, notes: Sequence[Note], reed: Reed) -> tuple[np.ndarray, np.ndarray]:
    """Compute the pitch in Hz and the level of one line of notes, (C,) each."""
    num_points = int(take.duration_s * CURVE_HZ) + 2
    pitch_C, level_C = np.full(num_points, float(notes[0].pitch)), np.zeros(num_points)
    for note in notes:
        start = int(note.start_s * CURVE_HZ)
        length = int(note.length_s * CURVE_HZ) + 1
        pitch_C[start:] = note.pitch
        shape = note.velocity * hold(length, reed.attack_s, reed.release_s, CURVE_HZ)
        part = level_C[start : start + length]
        np.maximum(part, shape[: len(part)], out=part)
    width = max(1, int(reed.glide_s * CURVE_HZ))
    pitch_C = np.convolve(np.pad(pitch_C, width, mode="edge"), np.ones(width) / width, "same")
    t = np.arange(num_points) / CURVE_HZ
    depth = reed.vibrato * np.clip(level_C * 1.5, 0, 1)
    sway = depth * np.sin(2 * np.pi * (reed.vibrato_hz * t + take.rng.random()))
    return 440 * 2 ** ((pitch_C[width:-width] + sway - 69) / 12), level_C * (1 + 0.6 * sway)


def _hold_tones(take: Take, notes: Sequence[Note], reed: Reed, num_players: int) -> np.ndarray:
    """Play each voice of the notes as a line; several players are a little apart."""
    out = np.zeros(take.num_samples)
    at_T = np.arange(take.num_samples) / take.rate_hz * CURVE_HZ
    for voice in sorted({note.voice for note in notes}):
        line = [note for note in notes if note.voice == voice]
        for _ in range(num_players):
            pitch_C, level_C = _trace(take, line, reed)
            detune = 1 + 0.003 * take.rng.normal() * (num_players > 1)
            freq_T = detune * np.interp(at_T, np.arange(len(pitch_C)), pitch_C)
            level_T = np.interp(at_T, np.arange(len(level_C)), level_C)
            heard = np.arange(1, reed.partials.shape[1] + 1) * freq_T.max() < 0.47 * take.rate_hz
            tables = make_tables(reed.partials * heard)
            row_T = np.clip(level_T, 0, 1) * (len(tables) - 1)
            phase_T = oscillate(freq_T, take.num_samples, take.rate_hz) + take.rng.random()
            out += level_T * read_tables(tables, phase_T, row_T)
            if reed.breath > 0:
                out += reed.breath * level_T * take.rng.standard_normal(take.num_samples)
    return out


def play_strings(take: Take, notes: Sequence[Note]) -> np.ndarray:
    """Bow the partials of a sawtooth through a body, with vibrato and a slow attack."""
    build = draw_build(take, "strings")
    partial = np.arange(1, 31)
    body = 1 + build.uniform(0, 1.5) * np.abs(np.sin(partial * build.uniform(0.3, 1.5)))
    tilts = np.array([[1.6], [1.0]]) + build.uniform(-0.2, 0.3)
    reed = Reed(
        partials=body * partial**-tilts,
        attack_s=build.uniform(0.06, 0.3),
        release_s=build.uniform(0.06, 0.2),
        glide_s=build.uniform(0.01, 0.06),
        vibrato_hz=build.uniform(4.5, 6.8),
        vibrato=build.uniform(0.08, 0.4),
        breath=build.uniform(0.0, 0.02),
    )
    num_players = 1 if notes[-1].voice == 0 and build.random() < 0.6 else 2
    return _hold_tones(take, notes, reed, num_players)


def play_flute(take: Take, notes: Sequence[Note]) -> np.ndarray:
    """Blow few partials and much breath."""
    build = draw_build(take, "flute")
    steepness = np.array([[2.6], [1.7]]) + build.uniform(-0.3, 0.5)
    odd = np.where(np.arange(1, 9) % 2 == 0, build.uniform(0.2, 1.0), 1.0)
    reed = Reed(
        partials=odd * np.arange(1, 9) ** -steepness,
        attack_s=build.uniform(0.03, 0.1),
        release_s=build.uniform(0.04, 0.1),
        glide_s=build.uniform(0.008, 0.03),
        vibrato_hz=build.uniform(4.2, 6.2),
        vibrato=build.uniform(0.0, 0.3),
        breath=0.0,
    )
    tone = _hold_tones(take, notes, reed, 1)
    air = band(take.rng.standard_normal(take.num_samples), 800, 7_000, take.rate_hz, order=1)
    loudness = band(np.abs(tone), None, 20, take.rate_hz, order=1)
    return tone + build.uniform(0.05, 0.4) * np.maximum(loudness, 0) * air


def play_trumpet(take: Take, notes: Sequence[Note]) -> np.ndarray:
    """Blow bright partials that open as the tone gets louder, with the formant of a bell."""
    build = draw_build(take, "trumpet")
    partial = np.arange(1, 26)
    centre, width = build.uniform(3, 7), build.uniform(0.6, 1.1)
    bell = np.exp(-0.5 * (np.log(partial / centre) / width) ** 2) + 0.15
    opening = np.linspace(build.uniform(1.4, 2.2), build.uniform(0.1, 0.5), 6)[:, None]
    reed = Reed(
        partials=bell * partial**-opening,
        attack_s=build.uniform(0.02, 0.06),
        release_s=build.uniform(0.03, 0.08),
        glide_s=build.uniform(0.004, 0.015),
        vibrato_hz=build.uniform(4.5, 6.0),
        vibrato=build.uniform(0.0, 0.15),
        breath=build.uniform(0.0, 0.01),
    )
    return _hold_tones(take, notes, reed, 1)
