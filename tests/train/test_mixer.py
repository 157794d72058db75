"""Check the levels of training mixtures against numpy in float64."""

import numpy as np
import pytest

from separator.train.mixer import CEILING, declip, match_energy, mix


def make_noise(seed: int, level: float) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(8_000)).astype(np.float32)


def measure_db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(x, dtype=np.float64))))


@pytest.mark.parametrize("gain_db", [-10.0, 0.0, 7.5])
def test_mix_sets_the_other_sound_to_the_energy_of_the_target_plus_the_gain(gain_db):
    target, other = make_noise(0, 0.05), make_noise(1, 0.002)
    mixture, (kept, *_) = mix(target, [other], [gain_db])
    np.testing.assert_array_equal(kept, target)
    assert measure_db(mixture - kept) - measure_db(kept) == pytest.approx(gain_db, abs=0.01)


def test_mix_scales_a_clipping_mixture_together_with_its_target():
    target, other = make_noise(0, 0.5), make_noise(1, 0.5)
    mixture, (kept, *_) = mix(target, [other], [0.0])
    assert np.abs(mixture).max() == pytest.approx(CEILING, rel=1e-5)
    ratio = kept[target != 0] / target[target != 0]
    assert ratio.std() < 1e-6 and ratio.mean() < 1
    quiet, same = declip(0.1 * target, target)
    np.testing.assert_array_equal(quiet, 0.1 * target)
    np.testing.assert_array_equal(same, target)


def test_mix_and_match_energy_keep_silence_and_their_inputs():
    silence, noise = np.zeros(100, np.float32), make_noise(0, 0.1)[:100]
    np.testing.assert_array_equal(match_energy(silence, noise, 3.0), silence)
    before = noise.copy()
    mix(noise, [noise], [0.0])
    np.testing.assert_array_equal(noise, before)


def test_mix_adds_three_sounds():
    sounds = [make_noise(i, 0.01) for i in range(3)]
    mixture, (kept, *others) = mix(sounds[0], sounds[1:], [0.0, -6.0])
    np.testing.assert_allclose(kept + others[0] + others[1], mixture, atol=1e-7)
    assert measure_db(others[1]) - measure_db(kept) == pytest.approx(-6, abs=0.01)
    rest_db = 10 * np.log10(1 + 10**-0.6)
    assert measure_db(mixture - kept) - measure_db(kept) == pytest.approx(rest_db, abs=0.2)
