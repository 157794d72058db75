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
