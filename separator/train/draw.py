"""Draw a sound for a mixture: a stretch of one file, or short ones joined, changed at random.

Real recordings differ in bandwidth, level, length and rumble more than in what is heard; a network
learns those differences instead of the sounds, unless every drawn sound gets them at random.

Shapes: T samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.signal import butter, resample_poly, sosfilt, sosfiltfilt

from separator.errors import AudioError
from separator.sounds.primitives import add_at, hold, reverberate
from separator.storage import Storage
from separator.train.mixer import measure_energy
from separator.train.recipe import ChangeSettings, DataSettings
from separator.train.sound_lists import Source, read_stretch, read_whole

SEAM_S = 0.005  # fades at both ends of a joined sound
SPEEDS = 60  # denominator of speeds: few filters to design, in steps of 0.3 semitones
PEAK = 0.95
SILENCE = 1e-6  # energy (-60 dB) at or below which a stretch counts as silent
LOWEST_HZ, OCTAVES_COLOURED = 62.5, 8  # an equaliser has a point at every octave up to 16 kHz
MAX_DRAWS = 50  # so many draws in a row without a usable sound end the run


@dataclass(frozen=True)
class Drawer:
    """Draw sounds of one length for examples."""

    storage: Storage
    num_samples: int
    rate_hz: int
    changes: ChangeSettings

    def draw(
        self, rng: np.random.Generator, choose: Callable[[], Source]
    ) -> tuple[Source, np.ndarray, int]:
        """Choose sources until one is readable and not silent.

        Return that source, its samples, and the number of sources skipped before.
        """
        skipped = num_silent = 0
        reason = ""
        for _ in range(MAX_DRAWS):
            source = choose()
            try:
                samples_T = draw_sound(
                    self.storage, source, self.num_samples, self.rate_hz, rng, self.changes
                )
            except AudioError as error:
                skipped, reason = skipped + 1, f"; the last: {error}"
                continue
            if measure_energy(samples_T) > SILENCE:
                return source, samples_T, skipped + num_silent
            num_silent += 1
        raise AudioError(
            f"data.lists: {MAX_DRAWS} sounds drawn in a row cannot be used: {skipped} unreadable, "
            f"{num_silent} silent{reason}"
        )


def make_drawer(settings: DataSettings, rate_hz: int, storage: Storage) -> Drawer:
    num_samples = round(settings.segment_s * rate_hz)
    return Drawer(storage, num_samples, rate_hz, settings.changes)


def draw_turn(seed: int, number: int, names: Sequence[str]) -> str:
    """Return entry `number` of a queue in which every name comes once before any comes again."""
    lap, place = divmod(number, len(names))
    return names[int(np.random.default_rng([seed, lap, 1]).permutation(len(names))[place])]


def draw_sound(
    storage: Storage,
    source: Source,
    num_samples: int,
    rate_hz: int,
    rng: np.random.Generator,
    changes: ChangeSettings,
) -> np.ndarray:
    """Draw a sound (T,) of a source and change it."""
    speed = draw_speed(rng, changes.semitones) if source.package else (1, 1)
    needed = -(-num_samples * speed[0] // speed[1])
    if source.joins:
        uris = [source.uri, *rng.permutation(np.array(source.joins))]
        sounds = [read_whole(storage, str(uri), rate_hz) for uri in uris]
        sound_T = join(sounds, needed, rate_hz, rng, changes.pause_s)
    else:
        sound_T = read_stretch(storage, source.uri, needed, rate_hz, rng, source.start_s)
    if speed[0] != speed[1]:
        sound_T = resample_poly(sound_T, speed[1], speed[0])[:num_samples]
    if source.package and rng.random() < changes.room_ratio:
        t60_s, wet = draw_log(rng, 0.15, 1.2), rng.uniform(0.02, 0.4)
        sound_T = reverberate(sound_T, rng, rate_hz, t60_s, wet)
    if changes.high_pass_hz > 0:
        sound_T = high_pass(sound_T, changes.high_pass_hz, rate_hz)
    if changes.colour_db > 0:
        sound_T = colour(rng, sound_T, changes.colour_db, rate_hz)
    if rng.random() < changes.low_pass_ratio:
        sound_T = low_pass(sound_T, draw_log(rng, *changes.low_pass_hz), rate_hz)
    return sound_T.astype(np.float32)


def draw_log(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number that is uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_speed(rng: np.random.Generator, semitones: float) -> tuple[int, int]:
    """Draw a speed as a fraction, at most `semitones` up or down."""
    if semitones <= 0:
        return 1, 1
    return round(SPEEDS * 2 ** (rng.uniform(-semitones, semitones) / 12)), SPEEDS


def join(
    sounds: Sequence[np.ndarray],
    num_samples: int,
    rate_hz: int,
    rng: np.random.Generator,
    pause_s: Sequence[float],
) -> np.ndarray:
    """Place sounds one after another with pauses, and begin again with the first after the last.

    Each call draws a usual length from `pause_s` (least, most), and pauses around that length. The
    first sound is always heard, in full if there is room for it.
    """
    if not any(len(sound) for sound in sounds):
        raise AudioError("only empty sounds to join")
    out_T = np.zeros(num_samples, np.float32)
    usual_s = draw_log(rng, *pause_s)
    room = max(0, num_samples - len(sounds[0]))
    at = int(rng.integers(min(room, round(2 * usual_s * rate_hz)) + 1))
    number = 0
    while at < num_samples:
        sound_T = sounds[number % len(sounds)]
        add_at(out_T, sound_T * hold(len(sound_T), SEAM_S, SEAM_S, rate_hz), at)
        at += len(sound_T) + max(1, round(usual_s * rng.uniform(0.5, 1.5) * rate_hz))
        number += 1
    return out_T


def high_pass(sound_T: np.ndarray, from_hz: float, rate_hz: int) -> np.ndarray:
    """Take out rumble and offset below a frequency."""
    sos = butter(2, from_hz, "highpass", fs=rate_hz, output="sos")
    return sosfilt(sos, sound_T)  # pyright: ignore[reportReturnType]


def low_pass(sound_T: np.ndarray, up_to_hz: float, rate_hz: int) -> np.ndarray:
    """Cut a sound off above a frequency, steeply, as a low sampling rate does."""
    sos = butter(6, min(up_to_hz, 0.49 * rate_hz), "lowpass", fs=rate_hz, output="sos")
    return sosfiltfilt(sos, sound_T)


def colour(
    rng: np.random.Generator, sound_T: np.ndarray, most_db: float, rate_hz: int
) -> np.ndarray:
    """Raise and lower frequencies along a smooth random curve, as other microphones would."""
    padding = rate_hz // 10  # the filter smears to both sides; this silence takes what wraps round
    length = scipy.fft.next_fast_len(len(sound_T) + padding, real=True)
    spectrum_F = np.fft.rfft(sound_T, length)
    octaves = np.log2(np.linspace(1e-3, 1, len(spectrum_F)) * rate_hz / 2 / LOWEST_HZ)
    points = np.arange(OCTAVES_COLOURED + 1)
    curve_db = np.interp(octaves, points, rng.uniform(-most_db, most_db, len(points)))
    spectrum_F *= 10 ** (curve_db / 20)
    return np.fft.irfft(spectrum_F, length)[: len(sound_T)]


def set_level(
    rng: np.random.Generator, level_db: Sequence[float], *sounds: np.ndarray
) -> list[np.ndarray]:
    """Scale all sounds by one factor that gives the first a random level (RMS under full scale).

    The factor is smaller if the first sound's peak would exceed 0.95, and 1 if it is silent.
    """
    rms = float(np.sqrt(np.mean(np.square(sounds[0], dtype=np.float64))))
    peak = float(np.abs(sounds[0]).max(initial=0))
    if peak == 0:
        return list(sounds)
    factor = min(10 ** (rng.uniform(level_db[0], level_db[1]) / 20) / rms, PEAK / peak)
    return [sound_T * np.float32(factor) for sound_T in sounds]
