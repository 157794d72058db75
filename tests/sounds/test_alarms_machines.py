"""Sounds of alarms and machines: promises of every class, traits of some."""

import numpy as np
import pytest

from separator.sounds.alarms import ALARMS
from separator.sounds.machines import MACHINES
from separator.sounds.steady import make_static, make_steady_hiss
from separator.sounds.take import SoundClass, Take

CLASSES = {sound.name: sound for sound in (*ALARMS, *MACHINES)}
EVERY_CLASS = pytest.mark.parametrize("sound", CLASSES.values(), ids=CLASSES)
SEEDS = range(6)
RATE_HZ = 32_000
ENVELOPE_HZ = 200


def make(name: str, seed: int, seconds: float = 2.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    return CLASSES[name].make(make_take(seed, seconds, rate_hz))


def make_take(seed: int, seconds: float, rate_hz: int) -> Take:
    return Take(np.random.default_rng(seed), int(seconds * rate_hz), rate_hz)


def cut(x_T: np.ndarray, length: int) -> np.ndarray:
    return x_T[: len(x_T) // length * length].reshape(-1, length)


def measure_power(x_T: np.ndarray, rate_hz: int = RATE_HZ) -> tuple[np.ndarray, np.ndarray]:
    power = np.abs(np.fft.rfft(x_T * np.hanning(x_T.shape[-1]))) ** 2
    return np.fft.rfftfreq(x_T.shape[-1], 1 / rate_hz), power


def measure_centroid(x_T: np.ndarray) -> np.ndarray:
    freq_hz, power = measure_power(x_T)
    return (power @ freq_hz) / power.sum(-1)


def measure_spectrum(x_T: np.ndarray) -> np.ndarray:
    """Average the power per bin, without the lowest."""
    return np.mean([measure_power(part)[1] for part in cut(x_T, 512)], axis=0)[1:]


def measure_flatness(power: np.ndarray) -> float:
    """Measure how even a spectrum is: geometric over arithmetic mean."""
    return float(np.exp(np.mean(np.log(power))) / np.mean(power))


def measure_swing_db(x_T: np.ndarray) -> float:
    """Measure how far apart the loudest and the quietest fifth of a second are."""
    levels_db = 20 * np.log10(np.sqrt(np.mean(cut(x_T, RATE_HZ // 5) ** 2, axis=1)))
    return float(np.ptp(levels_db))


def measure_envelope(x_T: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(cut(x_T, RATE_HZ // ENVELOPE_HZ) ** 2, axis=1))


@EVERY_CLASS
@pytest.mark.parametrize(("rate_hz", "seconds"), [(16_000, 0.5), (32_000, 2.0), (44_100, 3.0)])
def test_make_gives_audible_samples_of_the_length(sound: SoundClass, rate_hz: int, seconds: float):
    for seed in range(3):
        x_T = make(sound.name, seed, seconds, rate_hz)
        assert x_T.shape == (int(seconds * rate_hz),)
        assert np.isfinite(x_T).all()
        assert np.sqrt(np.mean((x_T / np.abs(x_T).max()) ** 2)) > 1e-3


@EVERY_CLASS
def test_make_depends_on_the_seed_alone(sound: SoundClass):
    np.testing.assert_array_equal(make(sound.name, 3), make(sound.name, 3))
    assert not np.array_equal(make(sound.name, 3), make(sound.name, 4))


@EVERY_CLASS
def test_captions_name_no_other_class(sound: SoundClass):
    assert sound.captions[0] == sound.name
    assert len(set(sound.captions)) == len(sound.captions) >= 8
    others = {form for name in CLASSES for form in (name, name + "s") if name != sound.name}
    for text in (*sound.captions, *sound.paraphrases):
        assert text == text.lower().strip()
        assert not others & set(text.split())


@EVERY_CLASS
def test_paraphrases_are_no_captions_but_share_words_with_them(sound: SoundClass):
    assert not set(sound.paraphrases) & set(sound.captions)
    assert 4 <= len(sound.paraphrases) <= 6
    known = {word for text in sound.captions for word in text.split() if len(word) > 3}
    known |= {sound.name}
    for text in sound.paraphrases:
        assert known & set(text.split()), text


@pytest.mark.parametrize("seed", SEEDS)
def test_siren_moves_in_pitch(seed: int):
    centroids = measure_centroid(cut(make("siren", seed, 5.0), RATE_HZ // 16))
    assert 400 < np.median(centroids) < 2_000
    assert np.percentile(centroids, 90) > 1.1 * np.percentile(centroids, 10)


@pytest.mark.parametrize("seed", SEEDS)
def test_hum_is_low_and_harmonic_to_the_mains(seed: int):
    freq_hz, power = measure_power(make("hum", seed, 4.0))
    assert power[freq_hz < 1_000].sum() > 0.99 * power.sum()
    shares = [
        power[np.abs(freq_hz - mains_hz * np.round(freq_hz / mains_hz)) < 3].sum() / power.sum()
        for mains_hz in (50, 60)
    ]
    assert max(shares) > 0.85


@pytest.mark.parametrize("seed", SEEDS)
def test_hiss_is_steady_and_broad(seed: int):
    x_T = make_steady_hiss(make_take(seed, 2.0, RATE_HZ))
    assert measure_swing_db(x_T) < 2
    assert measure_flatness(measure_spectrum(x_T)) > 0.2
    assert measure_centroid(x_T) > 2_500


@pytest.mark.parametrize("seed", SEEDS)
def test_static_is_noise_of_one_band(seed: int):
    x_T = make_static(make_take(seed, 2.0, RATE_HZ))
    assert measure_swing_db(x_T) < 12
    power = measure_spectrum(x_T)
    assert measure_flatness(power[power > power.max() / 10]) > 0.25
    assert measure_centroid(x_T) < 5_000


def test_hiss_is_either():
    steady = sum(measure_centroid(make("hiss", seed)) > 2_500 for seed in range(20))
    assert 8 <= steady < 20


@pytest.mark.parametrize("seed", SEEDS)
def test_clock_ticks_at_equal_gaps(seed: int):
    envelope = measure_envelope(make("clock", seed, 6.0))
    ticks = envelope > 0.25 * envelope.max()
    starts = np.flatnonzero(ticks[1:] & ~ticks[:-1])
    starts = starts[np.diff(starts, prepend=-99) > 0.1 * ENVELOPE_HZ]
    gaps_s = np.diff(starts) / ENVELOPE_HZ
    assert len(gaps_s) >= 4
    assert 0.15 < np.median(gaps_s) < 1.2
    # Tick and tock may limp, but two of them together always take as long.
    assert np.std(gaps_s[:-1] + gaps_s[1:]) < 0.03 * np.median(gaps_s)


@pytest.mark.parametrize("seed", SEEDS)
def test_helicopter_level_pulses_with_its_blades(seed: int):
    envelope = measure_envelope(make("helicopter", seed, 4.0))
    rate_hz, power = measure_power(envelope - envelope.mean(), ENVELOPE_HZ)
    audible = rate_hz > 1
    assert 6 < rate_hz[audible][np.argmax(power[audible])] < 30
