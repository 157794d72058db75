"""Test the detector: its official output as stored, and our rule for what is longer or shorter."""

import numpy as np
import pytest
import torch

from separator.api import load_htsat
from separator.errors import AudioError, NonFiniteAudio, RateError, RequestError
from separator.model.detector import RATE_HZ, SLICE, STEP, Detector, plan_slices
from tests.helpers import golden_zs
from tests.helpers.golden import relative_error

KEYS = ("framewise", "clipwise", "latent")


@pytest.fixture(scope="module")
def official(htsat_checkpoint) -> Detector:
    return load_htsat(htsat_checkpoint)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Detector:
    folder = tmp_path_factory.mktemp("small")
    return load_htsat(
        golden_zs.write_detector(folder / "small.ckpt", golden_zs.make_small_detector())
    )


def make_sound(duration_s: float, rate_hz: int = RATE_HZ, seed: int = 0) -> np.ndarray:
    """Make noise whose level changes every 0.7 s, so that no two slices are alike."""
    generator = np.random.default_rng(seed)
    num_samples = round(duration_s * rate_hz)
    levels = 10 ** generator.uniform(-3, -0.5, num_samples // round(0.7 * rate_hz) + 1)
    noise = generator.standard_normal((1, num_samples))
    return (noise * np.repeat(levels, round(0.7 * rate_hz))[:num_samples]).astype(np.float32)


@pytest.mark.parametrize("length", ["2s", "4s", "10s"])
def test_detector_equals_official_output(official, length):
    wave = golden_zs.load_tensors("htsat_inputs")[f"wave_{length}"]
    expected = golden_zs.load_tensors("htsat768")
    found = official.infer(wave)
    for key, ours in zip(KEYS, found, strict=True):
        assert relative_error(ours, expected[f"{key}_{length}"]) < 1e-5, key


def test_picture_equals_official_picture(official):
    wave = golden_zs.load_tensors("htsat_inputs")["wave_2s"][:1]
    picture = official.net.draw(wave)[0]
    assert relative_error(picture, golden_zs.load_tensors("htsat768")["picture_2s"]) < 2e-5


def test_detect_gives_the_official_scores_of_ten_seconds(official):
    wave = golden_zs.load_arrays("htsat_inputs")["wave_10s"]
    expected = golden_zs.load_arrays("htsat768")
    found = official.detect(np.concatenate([wave, wave]), RATE_HZ)
    assert found.frame_s == 0.3125 and found.framewise.shape == (32, 527)
    for key in KEYS:
        np.testing.assert_allclose(getattr(found, key), expected[f"{key}_10s"][0], atol=2e-5)
    assert len(official.labels) == 527
    assert [official.labels[i] for i in (0, 81, 526)] == ["Speech", "Cat", "Field recording"]


def test_bf16_is_near_fp32(small):
    sound = make_sound(10)
    narrow = Detector(golden_zs.make_small_detector(), small.labels, "cpu", "bf16")
    ours, expected = narrow.detect(sound, RATE_HZ), small.detect(sound, RATE_HZ)
    assert 0 < np.abs(ours.clipwise - expected.clipwise).max() < 0.1
    norms = [np.linalg.norm(found.latent) for found in (ours, expected)]
    assert ours.latent @ expected.latent > 0.999 * norms[0] * norms[1]


def test_copies_of_a_short_sound_are_averaged(small):
    sound = make_sound(2)
    found = small.detect(sound, RATE_HZ)
    raw_SK = small.infer(torch.from_numpy(sound)).framewise[0].numpy()
    assert found.frame_s == 0.3125 and found.framewise.shape == (7, 527)
    # Five copies of 6.4 steps: the first row lies in steps 0, 6, 13, 19 and 26.
    np.testing.assert_allclose(found.framewise[0], raw_SK[[0, 6, 13, 19, 26]].mean(0), atol=1e-6)
    np.testing.assert_allclose(found.framewise[3], raw_SK[[3, 9, 16, 22, 29]].mean(0), atol=1e-6)


@pytest.mark.parametrize("num_samples", [1, 319, 512, 513, 327_679])
def test_short_sounds_are_detected_whole(small, num_samples):
    found = small.detect(make_sound(11)[:, :num_samples], RATE_HZ)
    assert all(np.isfinite(getattr(found, key)).all() for key in KEYS)
    covered = len(found.framewise) * found.frame_s * RATE_HZ
    assert num_samples <= covered + 1e-6 < num_samples + found.frame_s * RATE_HZ + 1e-3


def test_long_sounds_are_averaged_over_slices(small):
    """12 s: slices at 0 and, whole again, at 2.1875 s, which is cut at the end of the track."""
    sound = make_sound(12)
    found = small.detect(sound, RATE_HZ)
    start = 7 * STEP
    slices = np.stack([sound[0, :SLICE], np.pad(sound[0], (0, SLICE))[start : start + SLICE]])
    framewise, clipwise, latent = (each.numpy() for each in small.infer(torch.from_numpy(slices)))
    assert found.framewise.shape == (39, 527) and found.frame_s == 0.3125
    np.testing.assert_allclose(found.framewise[:7], framewise[0, :7], atol=1e-6)
    middle = (framewise[0, 7:] + framewise[1, :25]) / 2
    np.testing.assert_allclose(found.framewise[7:32], middle, atol=1e-6)
    np.testing.assert_allclose(found.framewise[32:], framewise[1, 25:], atol=1e-6)
    np.testing.assert_allclose(found.clipwise, clipwise.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.latent, latent.mean(0), atol=1e-6)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_scores_do_not_depend_on_how_a_track_is_cut(small, rate_hz):
    """A cut with 10 s of context on either side gives the same scores of its core."""
    track = make_sound(41, rate_hz)
    whole = small.detect(track, rate_hz)
    cut = small.detect(track[:, 5 * rate_hz : 30 * rate_hz], rate_hz)
    core = slice(round(10 / 0.3125), round(15 / 0.3125))  # 15 s to 20 s of the track
    np.testing.assert_allclose(
        cut.framewise[core], whole.framewise[core.start + 16 : core.stop + 16], atol=2e-5
    )


def test_slices_cover_a_track():
    for num_samples in (327_680, 330_001, 479_999, 480_000, 480_001, 9_999_999):
        starts = plan_slices(num_samples)
        assert starts == sorted(set(starts)) and all(s % STEP == 0 for s in starts)
        assert 0 <= starts[-1] + SLICE - num_samples < STEP
        assert starts[0] == 0 and max(np.diff(starts)) <= 5 * RATE_HZ


def test_rates_and_channels(small):
    sound = make_sound(3, 8_000)
    mono = small.detect(sound, 8_000)
    opposed = np.concatenate([sound * 1.5, sound * 0.5])
    np.testing.assert_allclose(small.detect(opposed, 8_000).clipwise, mono.clipwise, atol=1e-5)
    assert mono.frame_s * len(mono.framewise) >= 3
    with pytest.raises(RateError):
        small.detect(sound, 0)


def test_what_is_no_sound_is_refused(small):
    with pytest.raises(AudioError, match="no samples"):
        small.detect(np.zeros((1, 0), np.float32), RATE_HZ)
    with pytest.raises(NonFiniteAudio):
        small.detect(np.array([[0, np.nan]], np.float32), RATE_HZ)
    with pytest.raises(RequestError):
        small.detect([[0.0]], RATE_HZ)
    with pytest.raises(AudioError, match="give longer sounds to detect"):
        small.infer(torch.zeros(1, 327_680))
    silence = small.detect(np.zeros((1, 32_000), np.float32), RATE_HZ)
    assert np.isfinite(silence.framewise).all()


@pytest.mark.parametrize("duration_s", [4.0, 31.0])
def test_one_damaged_sample_leaves_the_rest_of_a_track_as_it_is(small, duration_s):
    track_CT = make_sound(duration_s)
    clean = small.detect(track_CT, RATE_HZ)
    track_CT[0, 2 * RATE_HZ] = 1e30
    found = small.detect(track_CT, RATE_HZ)
    assert all(np.isfinite(getattr(found, key)).all() for key in KEYS)
    beyond = int((2 + SLICE / RATE_HZ) / clean.frame_s) + 1
    np.testing.assert_array_equal(found.framewise[beyond:], clean.framewise[beyond:])
