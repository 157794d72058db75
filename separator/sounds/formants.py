"""Synthesize speech-like sounds: a glottal source through moving formants, and hiss.

Speakers are numbered; those of `held_out` takes are never used in training.
Shapes: T samples, F frames, B frequency bins, S segments.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft

from separator.sounds.primitives import oscillate
from separator.sounds.take import Take
from separator.sounds.waves import make_tables, read_tables

NUM_SPEAKERS, NUM_HELD_OUT = 4_000, 400
FRAME_S = 0.01

# The first three formants of a man's vowels, in Hz.
VOWELS = np.array([
    (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
    (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690),
    (400, 1700, 2300), (480, 700, 2400),
], float)  # fmt: skip
NASALS = np.array([(250, 1000, 2200), (260, 1500, 2300), (270, 1200, 2700)], float)
LIQUIDS = np.array([(360, 1100, 2600), (330, 1300, 1650), (290, 2200, 2900)], float)
# Hiss: centre in Hz, width in octaves, level.
FRICATIVES = ((6500, 0.45, 1.0), (3300, 0.5, 0.9), (7500, 1.1, 0.25), (2000, 0.6, 0.35))
BURSTS = ((900, 0.8, 0.6), (3800, 0.7, 0.8), (1900, 0.5, 0.8))


@dataclass(frozen=True)
class Speaker:
    number: int
    pitch_hz: float
    liveliness: float
    tract: float
    tilt: float
    breath: float
    hiss: float
    syllable_s: float
    upper: np.ndarray
    bandwidth: float
    vowels: np.ndarray


def find_speaker(number: int, is_woman: bool) -> Speaker:
    """Make the voice that belongs to a number."""
    rng = np.random.default_rng([number, int(is_woman)])
    tract = rng.uniform(1.1, 1.24) if is_woman else rng.uniform(0.9, 1.05)
    # A voice that is higher than most also comes from a shorter tract, loosely.
    lift = (tract - 1.17) / 0.07 if is_woman else (tract - 0.97) / 0.08
    middle = 205.0 if is_woman else 115.0
    return Speaker(
        number=number,
        pitch_hz=middle * 2 ** (0.1 * lift + rng.uniform(-0.17, 0.17)),
        liveliness=rng.uniform(0.5, 1.6),
        tract=tract,
        tilt=rng.uniform(0.45, 1.2) + 0.15 * is_woman,
        breath=rng.uniform(0.005, 0.06) * (1.5 if is_woman else 1.0),
        hiss=rng.uniform(0.8, 2.5),
        syllable_s=rng.uniform(0.13, 0.24),
        upper=np.array([rng.uniform(3300, 3800), rng.uniform(4100, 4700)]),
        bandwidth=rng.uniform(0.8, 1.4),
        vowels=VOWELS * rng.normal(1, 0.04, VOWELS.shape),
    )


def pick_speaker(take: Take, is_woman: bool) -> Speaker:
    number = int(take.rng.integers(NUM_HELD_OUT if take.held_out else NUM_SPEAKERS))
    return find_speaker(NUM_SPEAKERS + number if take.held_out else number, is_woman)


def talk(take: Take, is_woman: bool, num_samples: int | None = None) -> np.ndarray:
    """Let a random speaker say syllables in phrases, with pauses between them."""
    length = take.num_samples if num_samples is None else num_samples
    return _voice(take.rng, pick_speaker(take, is_woman), length, take.rate_hz)


# What the mouth does for a while: (duration_s, voicing, breath, formants, hiss, pitch ratio).
Segment = tuple[float, float, float, np.ndarray, tuple[float, float, float], float]
QUIET = (1000.0, 1.0, 0.0)


def _say(rng: np.random.Generator, speaker: Speaker, duration_s: float) -> Iterator[Segment]:
    """Yield segments that last at least `duration_s`."""
    now, rest = 0.0, VOWELS[8]
    while now < duration_s:
        num_syllables = int(rng.integers(3, 16))
        speed = rng.uniform(0.8, 1.25)
        rise = rng.choice([-0.25, -0.25, -0.15, 0.2]) * speaker.liveliness
        for i in range(num_syllables):
            ratio = 2 ** (
                rise * (i / num_syllables - 0.4) + 0.13 * speaker.liveliness * rng.normal()
            )
            vowel = speaker.vowels[rng.integers(len(VOWELS))]
            stress = rng.uniform(0.55, 1.0)
            length_s = speed * speaker.syllable_s * rng.uniform(0.45, 1.1)
            for segment in (
                *_open_syllable(rng, vowel, stress, ratio),
                (length_s, stress, 1.0, vowel, QUIET, ratio),
            ):
                yield segment
                now += segment[0]
        pause_s = rng.uniform(0.12, 0.35) if rng.random() < 0.6 else rng.uniform(0.35, 0.9)
        yield pause_s, 0.0, 0.0, rest, QUIET, 1.0
        now += pause_s


def _open_syllable(
    rng: np.random.Generator, vowel: np.ndarray, stress: float, ratio: float
) -> Iterator[Segment]:
    """Yield the consonant before a vowel, if there is one."""
    kind = rng.random()
    if kind < 0.28:
        centre, width, level = FRICATIVES[rng.integers(len(FRICATIVES))]
        voicing = 0.25 if rng.random() < 0.3 else 0.0
        yield rng.uniform(0.06, 0.14), voicing, 0.0, vowel, (centre, width, level * stress), ratio
    elif kind < 0.55:
        centre, width, level = BURSTS[rng.integers(len(BURSTS))]
        murmur = 0.1 if rng.random() < 0.4 else 0.0
        yield rng.uniform(0.03, 0.08), murmur, 0.0, NASALS[0], QUIET, ratio
        yield 0.012, 0.0, 0.0, vowel, (centre, width, level * stress), ratio
        if murmur == 0:
            yield rng.uniform(0.01, 0.04), 0.0, 8.0, vowel, QUIET, ratio
    elif kind < 0.72:
        yield rng.uniform(0.05, 0.09), 0.4, 0.5, NASALS[rng.integers(3)], QUIET, ratio
    elif kind < 0.9:
        yield rng.uniform(0.04, 0.09), 0.6, 0.5, LIQUIDS[rng.integers(3)], QUIET, ratio


def _voice(
    rng: np.random.Generator, speaker: Speaker, num_samples: int, rate_hz: int
) -> np.ndarray:
    hop = round(FRAME_S * rate_hz)
    num_frames = -(-num_samples // hop) + 1
    said = list(_say(rng, speaker, num_frames * FRAME_S))
    ends = np.cumsum([segment[0] for segment in said])
    segment_F = np.minimum(np.searchsorted(ends, np.arange(num_frames) * FRAME_S), len(said) - 1)
    voicing_F = _smooth(np.array([s[1] for s in said])[segment_F], 3)
    breath_F = _smooth(np.array([s[2] for s in said])[segment_F], 2)
    formants_F3 = np.stack([s[3] for s in said])[segment_F]
    formants_F3 = np.stack([_smooth(column, 7) for column in formants_F3.T], axis=1)
    hiss_F3 = np.array([s[4] for s in said])[segment_F]
    pitch_F = speaker.pitch_hz * _smooth(np.array([s[5] for s in said])[segment_F], 11)
    pitch_F *= 1 + 0.012 * rng.standard_normal(num_frames)

    spectra = _open_throat(speaker, formants_F3, hop, rate_hz)
    at_T = np.arange(num_samples)
    frames_at = np.arange(num_frames) * hop
    pitch_T = np.interp(at_T, frames_at, pitch_F)
    partial_P = np.arange(1, max(2, int(0.47 * rate_hz / pitch_F.max())))
    levels_P = partial_P**-speaker.tilt * (partial_P < 100)
    pulse = read_tables(
        make_tables(levels_P[None], 0.5 * np.pi * np.ones(len(partial_P))),
        oscillate(pitch_T, num_samples, rate_hz),
    )
    noise_T = rng.standard_normal(num_samples)
    voicing_T = np.interp(at_T, frames_at, voicing_F)
    breathing_T = np.interp(at_T, frames_at, breath_F * (0.3 + voicing_F))
    source = pulse * voicing_T + speaker.breath * breathing_T * noise_T
    voiced_FB = _analyse(source, num_frames, hop) * spectra
    hiss_FB = _analyse(noise_T, num_frames, hop) * _shape_hiss(hiss_F3, speaker.hiss, hop, rate_hz)
    return _overlap(voiced_FB + hiss_FB, hop)[hop : hop + num_samples]


def _smooth(curve_F: np.ndarray, width: int) -> np.ndarray:
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(curve_F, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _open_throat(speaker: Speaker, formants_F3: np.ndarray, hop: int, rate_hz: int) -> np.ndarray:
    """Compute the gain of five resonances for each bin of each frame."""
    upper = np.broadcast_to(speaker.upper, (len(formants_F3), 2))
    formants = speaker.tract * np.concatenate([formants_F3, upper], axis=1).astype(np.float32)
    bins = np.fft.rfftfreq(4 * hop, 1 / rate_hz).astype(np.float32)
    spectra = np.ones((len(formants), len(bins)), np.complex64)
    for column, width_hz in zip(formants.T, (70, 90, 130, 220, 300), strict=True):
        squared = column[:, None] ** 2
        width = np.float32(width_hz * speaker.bandwidth)
        # Below and beside its peak a resonance passes all; far above it, less and less. The
        # floor stands for the many higher resonances that are left out.
        spectra *= squared / (squared - bins**2 + 1j * width * bins) + np.float32(0.15)
    return spectra


def _shape_hiss(hiss_F3: np.ndarray, level: float, hop: int, rate_hz: int) -> np.ndarray:
    bins = np.log2(np.maximum(np.fft.rfftfreq(4 * hop, 1 / rate_hz), 1.0))
    centre, width, strength = (column[:, None] for column in hiss_F3.T)
    shape = np.exp(-0.5 * ((bins - np.log2(centre)) / width) ** 2) * (level * strength)
    return shape.astype(np.float32)


def _analyse(x_T: np.ndarray, num_frames: int, hop: int) -> np.ndarray:
    """Compute spectra of frames two hops long, padded to four so that they can ring on."""
    padded = np.zeros((num_frames + 1) * hop, np.float32)
    padded[hop : hop + len(x_T)] = x_T[: len(padded) - hop]
    halves = padded.reshape(-1, hop)
    frames = np.concatenate([halves[:-1], halves[1:]], axis=1)
    window = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)
    return np.asarray(scipy.fft.rfft(frames * window.astype(np.float32), 4 * hop, axis=1))


def _overlap(spectra_FB: np.ndarray, hop: int) -> np.ndarray:
    frames = np.asarray(scipy.fft.irfft(spectra_FB, 4 * hop, axis=1)).reshape(-1, 4, hop)
    out = np.zeros((len(frames) + 3, hop))
    for quarter in range(4):
        out[quarter : quarter + len(frames)] += frames[:, quarter]
    return out.reshape(-1)
