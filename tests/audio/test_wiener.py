import numpy as np

from separator.audio.wiener import filter_jointly
from tests.helpers.golden_zs import load_arrays


def test_joint_step_is_that_of_the_official_code():
    data = load_arrays("zsasp_scores")
    mixture_NF = data["wiener_mixture"][..., 0] + 1j * data["wiener_mixture"][..., 1]
    stems_SNF = filter_jointly(mixture_NF, np.moveaxis(data["wiener_magnitude"], -1, 0))
    real, imag = np.moveaxis(data["wiener_sources"], -1, 0).transpose(3, 0, 1, 2)
    expected_SNF = real + 1j * imag
    error = np.linalg.norm(stems_SNF - expected_SNF) / np.linalg.norm(expected_SNF)
    assert error < 1e-6


def test_stems_add_up_to_the_mixture_where_it_is_loud_and_silence_stays_silent():
    rng = np.random.default_rng(0)
    mixture_NF = rng.standard_normal((20, 5)) + 1j * rng.standard_normal((20, 5))
    stems_SNF = filter_jointly(mixture_NF, rng.random((3, 20, 5)))
    np.testing.assert_allclose(stems_SNF.sum(0), mixture_NF, atol=0.01)
    assert not filter_jointly(np.zeros((4, 3)), np.zeros((2, 4, 3))).any()


def test_a_stem_that_is_hardly_there_gets_less_than_its_share():
    # One frame and bin: power v, weight r = v / (1e-9 + v), and sqrt(1e-9) in the denominator.
    power = [(1e-4 * share) ** 2 for share in (0.75, 0.25)]
    weighted = [v * v / (1e-9 + v) for v in power]
    expected = [1e-4 * w / (1e-9**0.5 + sum(weighted)) for w in weighted]
    stems_SNF = filter_jointly(np.full((1, 1), 1e-4), np.array([3.0, 1.0]).reshape(2, 1, 1))
    np.testing.assert_allclose(stems_SNF.ravel(), expected, rtol=1e-6)
