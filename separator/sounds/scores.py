"""Compose random melodies, chords and drum patterns as notes, and write them as MIDI."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

Rng = np.random.Generator

# Semitones above the root.
SCALES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 5, 7, 9, 10),
    (0, 2, 3, 5, 7, 8, 11),
    (0, 2, 4, 7, 9),
    (0, 3, 5, 6, 7, 10),
)
PROGRESSIONS = ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (1, 4, 0, 0), (0, 2, 3, 4), (5, 3, 0, 4))
STEPS = (-4, -3, -2, -2, -1, -1, -1, 0, 1, 1, 1, 2, 2, 3, 4)
RHYTHMS = (  # beats; a piece draws its notes' lengths from one of these
    (0.25, 0.25, 0.5),
    (0.5, 0.5, 1.0),
    (0.5, 1.0, 1.5),
    (1.0, 1.0, 2.0),
    (0.33, 0.33, 0.67, 1.0),
)

KICK, RIM, SNARE, CLAP, SIDE = 36, 37, 38, 39, 40
CLOSED, PEDAL, OPEN, CRASH, RIDE = 42, 44, 46, 49, 51
LOW_TOM, MID_TOM, HIGH_TOM, TAMBOURINE, COWBELL = 45, 47, 50, 54, 56

# A bar in sixteenths, one row for each drum: x hit, o soft hit, - nothing.
Pattern = dict[int, str]
TRAIN_PATTERNS: tuple[Pattern, ...] = (
    {KICK: "x-----x-x-------", SNARE: "----x-------x---", CLOSED: "x-x-x-x-x-x-x-x-"},
    {KICK: "x---x---x---x---", CLAP: "----x-------x---", OPEN: "--x---x---x---x-"},
    {KICK: "x--x--x---x--x--", SNARE: "----x--o-o--x--o", CLOSED: "xoxoxoxoxoxoxoxo"},
    {KICK: "x-----------x---", RIM: "------x-----x---", RIDE: "x---x-x-x---x-x-"},
    {KICK: "x-x-----x-x-----", SNARE: "----x-------x--x", CLOSED: "x---x---x---x---"},
    {KICK: "x-------x-------", LOW_TOM: "--x-x---x-x-----", HIGH_TOM: "------xx------xx"},
    {SNARE: "xoooxoooxooxoxoo", KICK: "x-------x-------"},
    {KICK: "x---x---x---x---", SNARE: "----x-------x---", TAMBOURINE: "xoxoxoxoxoxoxoxo"},
)
HELD_OUT_PATTERNS: tuple[Pattern, ...] = (
    {KICK: "x--ox--ox--ox--o", SIDE: "x--x---x--x--x--", CLOSED: "x-o-x-o-x-o-x-o-"},
    {KICK: "x---------x-----", SNARE: "--------x-------", RIDE: "x-x-x-x-x-x-x-x-"},
    {KICK: "x--x----x-x---x-", SNARE: "---x--x----x--x-", COWBELL: "x---x---x---x---"},
    {LOW_TOM: "x--x--x-x--x--x-", MID_TOM: "--x--x----x--x--", PEDAL: "----x-------x---"},
)


@dataclass(frozen=True)
class Note:
    """A note. `pitch` is a MIDI key (60 is middle C), `velocity` lies in 0 to 1.

    Notes of one `voice` of a melody do not overlap.
    """

    start_s: float
    length_s: float
    pitch: int
    velocity: float
    voice: int = 0


@dataclass(frozen=True)
class Range:
    """The register of an instrument as MIDI keys, and its textures (see `compose`)."""

    low: int
    high: int
    textures: tuple[str, ...]


def compose(rng: Rng, duration_s: float, reach: Range) -> list[Note]:
    """Compose a piece of a random texture: melody, chords, arpeggio, both or lines.

    `lines` are held chords of three voices, `both` is a melody over chords.
    """
    width = int(rng.integers(12, max(13, reach.high - reach.low + 1)))
    low = int(rng.integers(reach.low, max(reach.low, reach.high - width) + 1))
    scale = SCALES[rng.integers(len(SCALES))]
    root = int(rng.integers(12))
    keys = [key for key in range(low, low + width + 1) if (key - root) % 12 in scale]
    beat_s = 60 / float(np.exp(rng.uniform(np.log(60), np.log(170))))
    loudness = float(rng.uniform(0.45, 0.9))
    texture = reach.textures[rng.integers(len(reach.textures))]
    if texture == "both":
        half = max(5, len(keys) // 2)
        notes = _sing(rng, duration_s, keys[-half:], beat_s, loudness)
        notes += _strike(rng, duration_s, keys[:half], beat_s, 0.7 * loudness)
    else:
        notes = TEXTURES[texture](rng, duration_s, keys, beat_s, loudness)
    return [
        replace(note, length_s=min(note.length_s, duration_s - note.start_s))
        for note in notes
        if note.start_s < duration_s
    ]


def compose_drums(rng: Rng, duration_s: float, held_out: bool) -> list[Note]:
    """Compose bars of one pattern, now and then varied, with fills and crashes."""
    patterns = HELD_OUT_PATTERNS if held_out else TRAIN_PATTERNS
    pattern = patterns[rng.integers(len(patterns))]
    step_s = 60 / float(rng.uniform(70, 170)) / 4
    swing = float(rng.choice([0, 0, 0.15, 0.3]))
    loudness = float(rng.uniform(0.6, 0.95))
    toms = (HIGH_TOM, MID_TOM, LOW_TOM, SNARE)
    notes = []
    for bar in range(int(duration_s / step_s / 16) + 1):
        has_fill = bar > 0 and rng.random() < 0.2
        if bar > 0 and rng.random() < 0.12:
            pattern = patterns[rng.integers(len(patterns))]
        if rng.random() < 0.15:
            notes.append(Note(16 * bar * step_s, 1.0, CRASH, loudness))
        for step in range(16):
            at = (16 * bar + step + swing * (step % 2)) * step_s
            if has_fill and step >= 12:
                notes.append(Note(at, 0.1, toms[rng.integers(4)], loudness))
                continue
            for drum, row in pattern.items():
                missed = rng.random() < 0.04 and step > 0
                if row[step] == "-" or missed:
                    continue
                hit = (1.0 if row[step] == "x" else 0.45) * loudness * rng.uniform(0.8, 1.05)
                late_s = max(0.0, rng.normal(0.003, 0.004))
                notes.append(Note(at + late_s, 0.1, drum, float(min(1.0, hit))))
    return [note for note in notes if note.start_s < duration_s]


def write_midi(notes: Sequence[Note], program: int, is_percussion: bool) -> bytes:
    """Write a MIDI file of one track in which a tick is a millisecond."""
    channel = 9 if is_percussion else 0
    events = [(0, 0, bytes([0xC0 | channel, program]))]
    for note in notes:
        on, off = round(1000 * note.start_s), round(1000 * (note.start_s + note.length_s))
        velocity = int(np.clip(round(127 * note.velocity), 1, 127))
        events.append((on, 2, bytes([0x90 | channel, note.pitch, velocity])))
        events.append((max(off, on + 1), 1, bytes([0x80 | channel, note.pitch, 0])))
    events.sort()
    track, now = bytearray(b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big")), 0
    for tick, _, message in events:
        track += _write_number(tick - now) + message
        now = tick
    track += _write_number(1_000) + b"\xff\x2f\x00"  # a second for the last note to fade
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 500)
    return header + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _write_number(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))


def _sing(
    rng: Rng, duration_s: float, keys: list[int], beat_s: float, loudness: float
) -> list[Note]:
    rhythm = RHYTHMS[rng.integers(len(RHYTHMS))]
    legato = float(rng.choice([0.5, 0.85, 0.97, 1.0]))
    at, t = int(rng.integers(len(keys))), float(rng.uniform(0, 0.1))
    notes = []
    while t < duration_s:
        for _ in range(int(rng.integers(4, 14))):
            step_s = max(0.09, rhythm[rng.integers(len(rhythm))] * beat_s)
            velocity = loudness * float(rng.uniform(0.75, 1.1))
            notes.append(Note(t, legato * step_s, keys[at], min(1.0, velocity)))
            at += STEPS[rng.integers(len(STEPS))]
            at = len(keys) - 2 - at % len(keys) if not 0 <= at < len(keys) else at
            at = max(0, at)
            t += step_s
        t += min(1.2, beat_s * float(rng.choice([0, 0.5, 1, 2])))  # the phrase ends: breathe
    return notes


def _draw_chords(rng: Rng, keys: list[int], num_tones: int) -> list[list[int]]:
    """Draw four chords of every other key of the scale, somewhere in the register."""
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    base = int(rng.integers(max(1, len(keys) - 2 * num_tones)))
    return [
        sorted({keys[(base + degree + 2 * tone) % len(keys)] for tone in range(num_tones)})
        for degree in progression
    ]


def _strike(
    rng: Rng, duration_s: float, keys: list[int], beat_s: float, loudness: float
) -> list[Note]:
    chords = _draw_chords(rng, keys, int(rng.integers(3, 5)))
    per_chord = int(rng.choice([1, 2, 4]))
    step_s = max(0.2, beat_s * float(rng.choice([0.5, 1, 2])))
    strum_s = float(rng.choice([0, 0.005, 0.02, 0.035]))
    length = float(rng.choice([0.5, 0.9, 1.0]))
    notes, t, stroke = [], float(rng.uniform(0, 0.1)), 0
    while t < duration_s:
        chord = chords[stroke // per_chord % 4]
        if stroke % per_chord == 0 or rng.random() < 0.85:
            velocity = loudness * float(rng.uniform(0.75, 1.0))
            upward = chord if rng.random() < 0.7 else chord[::-1]
            for number, key in enumerate(upward):
                notes.append(Note(t + number * strum_s, length * step_s, key, velocity))
        t, stroke = t + step_s, stroke + 1
    return notes


def _break_chords(
    rng: Rng, duration_s: float, keys: list[int], beat_s: float, loudness: float
) -> list[Note]:
    chords = _draw_chords(rng, keys, int(rng.integers(3, 6)))
    order = rng.permutation(5) if rng.random() < 0.4 else np.arange(5)
    per_chord = int(rng.choice([4, 6, 8]))
    step_s = max(0.11, beat_s * float(rng.choice([0.25, 0.5, 0.5, 1.0])))
    length_s = step_s * float(rng.choice([1.0, 2.0, 3.0]))
    notes, t, number = [], float(rng.uniform(0, 0.1)), 0
    while t < duration_s:
        chord = chords[number // per_chord % 4]
        key = chord[int(order[number % 5]) % len(chord)]
        notes.append(Note(t, length_s, key, loudness * float(rng.uniform(0.7, 1.0))))
        t, number = t + step_s, number + 1
    return notes


def _hold_chords(
    rng: Rng, duration_s: float, keys: list[int], beat_s: float, loudness: float
) -> list[Note]:
    chords = _draw_chords(rng, keys, 3)
    step_s = beat_s * float(rng.choice([1, 2, 4]))
    notes, t, number = [], float(rng.uniform(0, 0.1)), 0
    while t < duration_s:
        velocity = loudness * float(rng.uniform(0.8, 1.0))
        for voice, key in enumerate(chords[number % 4]):
            notes.append(Note(t, 0.98 * step_s, key, velocity, voice))
        rest_s = min(1.0, beat_s) if rng.random() < 0.15 else 0.0
        t, number = t + step_s + rest_s, number + 1
    return notes


TEXTURES = {
    "melody": _sing,
    "chords": _strike,
    "arpeggio": _break_chords,
    "lines": _hold_chords,
}
