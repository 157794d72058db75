"""Test conditions of example sounds by a detector and by the audio side of a text encoder."""

import numpy as np
import pytest

from separator.encoders.example_sounds import ExampleSound
from separator.encoders.latent import encode_sounds
from separator.encoders.mini import read_mini
from separator.encoders.sound_encoder import (
    LARGE_SPREAD,
    AudioSounds,
    LatentSounds,
    encode_examples,
)
from separator.errors import AudioError, NonFiniteAudio, QueryError, RateError
from separator.model.detector import Detector
from separator.model.registry import BUNDLED
from separator.sounds.catalog import make_sound
from tests.helpers import golden_zs

HZ = 32_000


@pytest.fixture(scope="module")
def latent() -> LatentSounds:
    net = golden_zs.make_small_detector(num_classes=3)
    return LatentSounds(Detector(net, ["a", "b", "c"]))


@pytest.fixture(scope="module")
def mini() -> AudioSounds:
    return AudioSounds(read_mini(BUNDLED))


@pytest.fixture(params=["latent", "mini"])
def encoder(request):
    return request.getfixturevalue(request.param)


def make(kind: str, seed: int, seconds: float = 4, name: str = "") -> ExampleSound:
    sound_T = make_sound(kind, seed, round(seconds * HZ)).astype(np.float32)
    return ExampleSound(name or f"{kind}-{seed}.wav", sound_T[None], HZ)


def test_condition_of_a_detector_is_that_of_the_official_rule(latent):
    sounds = [make("siren", 1), make("siren", 2, 7)]
    found = encode_examples(latent, sounds)
    pairs = [(sound.samples, sound.rate_hz) for sound in sounds]
    expected = encode_sounds(latent.detector, pairs)
    np.testing.assert_allclose(found.condition, expected.conditions[0], rtol=1e-6)
    assert (found.num_sounds, found.spread) == (2, expected.spread)


def test_condition_of_an_audio_side_is_a_mean_of_pieces_then_of_sounds(mini):
    """The referee: pieces cut by hand, with a quiet one between two loud ones."""
    loud, other = make("siren", 1, 10), make("rain", 1, 10)
    quiet = np.full((1, 10 * HZ), 1e-4, np.float32)
    long_CT = np.concatenate([loud.samples, quiet, loud.samples[:, : 5 * HZ]], 1)
    parts = [loud.samples, loud.samples[:, : 5 * HZ]]
    first_D = np.mean([mini.encoder.encode_audio(part, HZ) for part in parts], 0)
    second_D = mini.encoder.encode_audio(other.samples, HZ)
    mean_D = (first_D + second_D) / 2
    found = encode_examples(mini, [ExampleSound("long", long_CT, HZ), other])
    np.testing.assert_allclose(found.condition, mean_D / np.linalg.norm(mean_D), atol=1e-6)
    assert np.linalg.norm(found.condition) == pytest.approx(1, abs=1e-6)


def test_a_short_rest_counts_for_nothing_and_a_short_sound_for_all(mini):
    sound = make("siren", 1, 10.5)
    whole = encode_examples(mini, [ExampleSound("x", sound.samples[:, : 10 * HZ], HZ)])
    np.testing.assert_array_equal(encode_examples(mini, [sound]).condition, whole.condition)
    short = ExampleSound("x", sound.samples[:, : HZ // 20], HZ)
    assert np.isfinite(encode_examples(mini, [short]).condition).all()


def test_mini_hears_which_sound_an_example_is(mini):
    """Five examples of one kind are near its text, and not of different kinds."""
    texts = {"siren": "an emergency siren", "rain": "rain", "man": "a man speaking"}
    rows_QD = mini.encoder.encode_texts(list(texts.values()))
    for kind in texts:
        found = encode_examples(mini, [make(kind, seed) for seed in range(10, 15)])
        nearest = list(texts)[int(np.argmax(rows_QD @ found.condition))]
        assert nearest == kind and found.num_sounds == 5 and not found.warning, found.spread


def test_examples_of_different_sounds_are_told(mini):
    sounds = [make(kind, 1) for kind in ("siren", "rain", "man", "drums", "bell")]
    found = encode_examples(mini, sounds)
    assert found.spread > LARGE_SPREAD
    assert f"spread {found.spread:.2f}, above {LARGE_SPREAD:g}" in found.warning


def test_what_is_no_example_is_refused_by_name(encoder):
    good = make("siren", 1)
    silence = ExampleSound("s3://b/quiet.wav", np.full((1, 3 * HZ), 1e-4, np.float32), HZ)
    with pytest.raises(QueryError, match=r"s3://b/quiet.wav is silent .*: leave it out"):
        encode_examples(encoder, [good, silence])
    cancelled = ExampleSound("phase.wav", np.concatenate([good.samples, -good.samples]), HZ)
    with pytest.raises(QueryError, match=r"phase.wav is silent \(with its channels averaged, "):
        encode_examples(encoder, [cancelled])
    with pytest.raises(AudioError, match=r"short.wav has 0.0100 s: 0.02 s are needed"):
        encode_examples(encoder, [ExampleSound("short.wav", good.samples[:, :320], HZ)])
    bad = np.full((1, HZ), np.nan, np.float32)
    with pytest.raises(NonFiniteAudio, match=r"nan.wav"):
        encode_examples(encoder, [ExampleSound("nan.wav", bad, HZ)])
    damaged = good.samples.copy()
    damaged[0, 100] = 1e30
    with pytest.raises(
        AudioError, match=r"spike.wav has samples of up to 1e\+30, full scale is 1.0"
    ):
        encode_examples(encoder, [ExampleSound("spike.wav", damaged, HZ)])
    with pytest.raises(RateError, match=r"fast.wav"):
        encode_examples(encoder, [ExampleSound("fast.wav", good.samples, 768_000)])
