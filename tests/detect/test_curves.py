"""Detectors of presence: classes, similarity in moving windows, and stems."""

from itertools import pairwise

import numpy as np
import pytest

from separator.detect.curves import (
    ByClasses,
    BySimilarity,
    Calibration,
    FromStem,
    detect_blocks,
    measure_frames,
)
from separator.errors import AudioError
from tests.helpers.detectors import make_small_detector

RATE_HZ = 8_000


def make_noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose level and colour change, so that scores do."""
    rng = np.random.default_rng(seed)
    noise_CT = rng.standard_normal((2, round(seconds * RATE_HZ)))
    t = np.arange(noise_CT.shape[1]) / RATE_HZ
    tone = np.sin(2 * np.pi * 300 * t * (1 + t / 60))
    return (0.1 * noise_CT * np.sin(0.7 * t) ** 2 + 0.1 * tone).astype(np.float32)


def test_classes_of_a_query_combine_by_the_maximum():
    detector = make_small_detector()
    samples_CT = make_noise(2)
    curves = ByClasses(detector, {"a": ["siren"], "b": ["siren", "rain"]}).measure(
        samples_CT, RATE_HZ
    )
    found = detector.detect(samples_CT, RATE_HZ)
    np.testing.assert_array_equal(curves["a"].scores, found.framewise[:, 0])
    np.testing.assert_array_equal(curves["b"].scores, found.framewise[:, [0, 2]].max(1))
    assert curves["a"].frame_s == found.frame_s


@pytest.mark.parametrize("seconds", [3.7, 34.99])
def test_blocks_of_a_track_give_the_scores_of_the_whole(seconds):
    detector = make_small_detector()
    samples_CT = make_noise(seconds)
    blocks = np.array_split(samples_CT, 7, axis=1)
    heard = detect_blocks(detector, blocks, RATE_HZ, span_s=10)
    whole = detector.detect(samples_CT, RATE_HZ)
    assert whole.framewise.std() > 0.01
    np.testing.assert_allclose(heard.framewise, whole.framewise, atol=1e-5)
    assert heard.frame_s == whole.frame_s and heard.duration_s == samples_CT.shape[1] / RATE_HZ
    assert heard.peak == np.abs(samples_CT).max()


def test_blocks_without_a_sample_are_refused():
    with pytest.raises(AudioError, match="no samples"):
        detect_blocks(make_small_detector(), [], RATE_HZ)


class Loudness:
    """An encoder whose embedding says how loud a window is: what it was given is known."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def encode_audio(self, waveform_CT: np.ndarray, rate_hz: int) -> np.ndarray:
        self.lengths.append(waveform_CT.shape[1])
        level = float(np.abs(waveform_CT).mean())
        return np.array([level, 1 - level])


def test_similarity_follows_a_sound_through_moving_windows():
    samples_CT = np.zeros((1, 10 * RATE_HZ), np.float32)
    samples_CT[:, 4 * RATE_HZ : 6 * RATE_HZ] = 1
    encoder = Loudness()
    curve = BySimilarity(encoder, {"q": np.array([1.0, 0])}).measure(samples_CT, RATE_HZ)["q"]
    assert curve.frame_s == 0.5 and len(curve.scores) == 20
    # Of row i the middle is (i + 0.5) / 2 s; its window of 2 s covers the sound by that much.
    middle_s = (np.arange(20) + 0.5) / 2
    share = np.clip(2 - np.abs(middle_s - 5), 0, 2) / 2
    np.testing.assert_allclose(curve.scores, np.where(share > 0, share, -1), atol=1e-6)
    assert set(encoder.lengths) == {2 * RATE_HZ}  # silent windows cost nothing


def test_calibration_turns_a_cosine_into_a_probability_and_silence_into_none():
    samples_CT = np.concatenate([np.zeros((1, 40_000)), np.ones((1, 40_000))], 1)
    by = BySimilarity(Loudness(), {"q": np.array([1.0, 0])}, {"q": Calibration(4, -2)})
    scores_N = by.measure(samples_CT, RATE_HZ)["q"].scores
    assert scores_N[0] == 0 and scores_N[-1] == pytest.approx(1 / (1 + np.exp(-2)))


def test_stem_is_present_where_it_stands_out_and_not_in_silence():
    stem_CT = np.zeros((2, 4 * RATE_HZ))
    stem_CT[:, RATE_HZ : 3 * RATE_HZ] = 0.1 * make_noise(2, 1)
    rest_CT = np.zeros_like(stem_CT)
    rest_CT[:, 2 * RATE_HZ :] = stem_CT[:, RATE_HZ : 3 * RATE_HZ]
    stem_CT[:, 2 * RATE_HZ : 3 * RATE_HZ] = np.sqrt(9) * rest_CT[:, 2 * RATE_HZ : 3 * RATE_HZ]
    stem_CT[:, : RATE_HZ // 2] = 1e-5  # far below what is heard, though all that there is
    curve = FromStem({"q": stem_CT}).measure(stem_CT + rest_CT, RATE_HZ)["q"]
    assert curve.frame_s == 0.1
    expected = np.repeat([0, 1, 0.9, 0], 10)
    np.testing.assert_allclose(curve.scores, expected, atol=1e-6)


def test_stem_of_no_whole_number_of_frames_is_measured_to_its_end():
    stem_CT = 0.5 * np.ones((1, round(0.35 * RATE_HZ)))
    assert FromStem({"q": stem_CT}).measure(stem_CT, RATE_HZ)["q"].scores.tolist() == [1] * 4
    assert len(FromStem({"q": stem_CT[:, :0]}).measure(stem_CT[:, :0], RATE_HZ)["q"].scores) == 0


@pytest.mark.parametrize("num_samples", [1, 1_102, 1_103, 3_307, 3_308, 3_309, 4_410])
def test_every_sample_is_in_one_frame_where_a_frame_is_no_whole_number_of_them(num_samples):
    """A frame of 0.1 s at 11,025 Hz has 1,102.5 samples: the third one ends at 3,307.5."""
    samples_1T = np.random.default_rng(0).uniform(0.5, 1, (1, num_samples))
    power_N = measure_frames(samples_1T, 11_025)
    bounds = [0, 1_102, 2_205, 3_308, 4_410]
    frames = [samples_1T[0, a:b] for a, b in pairwise(bounds) if a < num_samples]
    np.testing.assert_allclose(power_N, [np.square(frame_T).mean() for frame_T in frames])


def test_similarity_hears_nothing_where_channels_cancel_each_other_out():
    """Of such a track the mean of the channels is silent, and only that is ever embedded."""
    encoder = Loudness()
    by = BySimilarity(encoder, {"q": np.array([0, 1.0])}, {"q": Calibration(4, -2)})
    tone_T = np.sin(np.arange(4 * RATE_HZ) * 0.3)
    scores_N = by.measure(np.stack([tone_T, -tone_T]), RATE_HZ)["q"].scores
    assert not scores_N.any() and not encoder.lengths
    assert by.measure(np.stack([tone_T, 0 * tone_T]), RATE_HZ)["q"].scores.all()
