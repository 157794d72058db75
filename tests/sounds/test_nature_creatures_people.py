"""Sounds of nature, animals and people: promises of every class, traits of some."""

import numpy as np
import pytest

from separator.sounds.creatures import CREATURES
from separator.sounds.nature import NATURE
from separator.sounds.people import PEOPLE
from separator.sounds.take import SoundClass, Take

CLASSES = {kind.name: kind for kind in NATURE + CREATURES + PEOPLE}
SEEDS = range(4)
RATE_HZ = 16_000

each_class = pytest.mark.parametrize("kind", CLASSES.values(), ids=list(CLASSES))
each_seed = pytest.mark.parametrize("seed", SEEDS)


def make_samples(kind: SoundClass, seed: int, duration_s: float = 4.0, rate_hz: int = RATE_HZ):
    return kind.make(Take(np.random.default_rng(seed), int(duration_s * rate_hz), rate_hz))


def measure_share(x_T: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Return the share of the energy that lies in a band."""
    power = np.abs(np.fft.rfft(x_T)) ** 2
    freqs = np.fft.rfftfreq(len(x_T), 1 / RATE_HZ)
    return float(power[(freqs >= low_hz) & (freqs < high_hz)].sum() / power.sum())


def measure_levels(x_T: np.ndarray, frame_s: float) -> np.ndarray:
    size = int(frame_s * RATE_HZ)
    frames = x_T[: len(x_T) // size * size].reshape(-1, size)
    return np.sqrt(np.mean(frames**2, axis=1))


def assert_audible(x_T: np.ndarray, num_samples: int) -> None:
    assert x_T.shape == (num_samples,)
    assert np.all(np.isfinite(x_T))
    peak = np.max(np.abs(x_T))
    assert peak > 0
    assert np.sqrt(np.mean((x_T / peak) ** 2)) > 1e-3


@each_class
def test_make_gives_audible_samples_of_the_length(kind):
    for seed in SEEDS:
        assert_audible(make_samples(kind, seed, 2.0), 32_000)


@each_class
@pytest.mark.parametrize(("duration_s", "rate_hz"), [(0.5, 16_000), (3.0, 44_100), (2.0, 48_000)])
def test_make_works_at_other_rates_and_lengths(kind, duration_s, rate_hz):
    assert_audible(make_samples(kind, 1, duration_s, rate_hz), int(duration_s * rate_hz))


@each_class
def test_make_depends_on_the_seed_alone(kind):
    first, again, other = (make_samples(kind, seed, 2.0) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@each_class
def test_captions_and_paraphrases_are_distinct_and_share_words(kind):
    assert kind.captions[0] == kind.name
    assert 8 <= len(kind.captions) <= 14
    assert 4 <= len(kind.paraphrases) <= 6
    texts = kind.captions + kind.paraphrases
    assert len(set(texts)) == len(texts)
    assert all(text == text.lower() == text.strip() and text for text in texts)
    stems = {word[:4] for text in kind.captions for word in text.split() if len(word) > 2}
    for text in kind.paraphrases:
        assert any(word[:4] in stems for word in text.split() if word != "the"), text


def test_class_names_are_unique():
    assert len(CLASSES) == len(NATURE + CREATURES + PEOPLE)


@each_class
def test_captions_name_no_other_class(kind):
    for text in kind.captions + kind.paraphrases:
        assert not (set(text.split()) & set(CLASSES)) - {kind.name}, text


@each_seed
def test_bird_is_high(seed):
    assert measure_share(make_samples(CLASSES["bird"], seed), 1_500, 8_000) > 0.95


@pytest.mark.parametrize("name", ["heartbeat", "thunder"])
@each_seed
def test_heartbeat_and_thunder_are_low(name, seed):
    assert measure_share(make_samples(CLASSES[name], seed), 0, 300) > 0.6


@each_seed
def test_owl_hoots_in_one_octave(seed):
    assert measure_share(make_samples(CLASSES["owl"], seed), 240, 560) > 0.8


@each_seed
def test_footsteps_come_at_a_human_pace(seed):
    levels = measure_levels(make_samples(CLASSES["footsteps"], seed, 6.0), 0.01)
    loud = np.flatnonzero(levels > 0.25 * levels.max())
    steps, last = 0, -np.inf
    for frame in loud:
        if frame - last > 22:  # heel and toe make one step
            steps, last = steps + 1, frame
    assert 1 <= steps / 6 <= 4


@each_seed
def test_rain_is_broadband_and_steady(seed):
    rain = make_samples(CLASSES["rain"], seed)
    for low_hz, high_hz in ((0, 2_000), (2_000, 4_000), (4_000, 8_000)):
        assert measure_share(rain, low_hz, high_hz) > 0.02
    assert np.std(20 * np.log10(measure_levels(rain, 0.5))) < 3


@each_seed
def test_waves_are_never_silent_for_long(seed):
    levels = measure_levels(make_samples(CLASSES["waves"], seed, 20.0), 2.0)
    assert levels.min() > 0.05 * levels.max()


def test_applause_is_denser_than_knocking():
    def measure_density(name: str) -> float:
        shares = []
        for seed in SEEDS:
            levels = measure_levels(make_samples(CLASSES[name], seed), 0.02)
            shares.append(np.mean(levels > 0.1 * levels.max()))
        return float(np.mean(shares))

    assert measure_density("applause") > 2 * measure_density("knocking")
