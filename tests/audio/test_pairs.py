import numpy as np
import pytest

from separator.audio.pairs import MODES, make_samples, match_first
from tests.helpers.golden_zs import load_arrays

SHOWN = 200  # samples of each that are kept


@pytest.mark.parametrize("mode", MODES)
def test_samples_of_a_pair_are_those_of_the_official_code(mode):
    data = load_arrays("zsasp_scores")
    sounds = data["segments"]
    for i in range(0, len(sounds), 2):
        samples = make_samples(sounds[i], sounds[i + 1], mode)
        for k, (heard_T, target_T) in enumerate(samples, start=i):
            np.testing.assert_allclose(heard_T[:SHOWN], data[f"mix_{mode}"][k], rtol=2e-6)
            np.testing.assert_allclose(target_T[:SHOWN], data[f"source_{mode}"][k], rtol=2e-6)


def test_second_sound_gets_the_energy_of_the_first_within_limits():
    first_T = np.array([0.5, -0.5], np.float32)
    np.testing.assert_allclose(match_first(first_T, first_T / 10), first_T, rtol=1e-6)
    np.testing.assert_allclose(match_first(first_T / 100, first_T), first_T / 50, rtol=1e-6)
    np.testing.assert_allclose(match_first(first_T, first_T / 100), first_T / 2, rtol=1e-6)
    assert not match_first(first_T, 0 * first_T).any()
