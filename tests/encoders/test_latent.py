"""Test the embedding of example sounds: the official rule as stored, and that of USS."""

import numpy as np
import pytest
import torch

from separator.api import load_htsat
from separator.encoders.latent import cut_pieces_uss, encode_sounds
from separator.errors import AudioError, NonFiniteAudio, QueryError, RateError, RequestError
from separator.model.detector import RATE_HZ, Detector
from tests.helpers import golden_zs
from tests.helpers.golden import relative_error


@pytest.fixture(scope="module")
def small() -> Detector:
    return Detector(golden_zs.make_small_detector(), [str(i) for i in range(527)])


def make_noise(duration_s: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((1, round(duration_s * RATE_HZ)))
    return (level * noise).astype(np.float32)


def embed(detector: Detector, sound: np.ndarray) -> np.ndarray:
    return detector.infer(torch.from_numpy(sound)).latent.numpy()


def make_official_query() -> np.ndarray:
    """Lay three sounds end to end: of three pieces the second is too quiet, 1 s is dropped."""
    waves = golden_zs.load_arrays("htsat_inputs")
    quiet = np.float32(0.001) * waves["wave_2s"][1]
    return np.concatenate([waves["wave_2s"][0], quiet, waves["wave_4s"][0, :96_000]])[None]


def test_query_equals_official_query(htsat_checkpoint):
    found = encode_sounds(load_htsat(htsat_checkpoint), [(make_official_query(), RATE_HZ)])
    expected = golden_zs.load_tensors("htsat768")["latent_query"]
    assert relative_error(torch.from_numpy(found.conditions[0]), expected) < 1e-5
    assert found.num_pieces == 2 and 0 < found.spread < 1


def test_sounds_have_equal_weight_whatever_their_length(small):
    short, long = make_noise(2), make_noise(6, 0.01, seed=1)
    found = encode_sounds(small, [(short, RATE_HZ), (long, RATE_HZ)])
    pieces = [embed(small, long[:, i * 64_000 : (i + 1) * 64_000]) for i in range(3)]
    each = [embed(small, short)[0], np.mean(pieces, 0)[0]]
    np.testing.assert_allclose(found.conditions, [np.mean(each, 0)], atol=1e-5)
    assert found.num_pieces == 4
    apart = encode_sounds(small, [(short, RATE_HZ), (long, RATE_HZ)], combine="each")
    np.testing.assert_allclose(apart.conditions, each, atol=1e-5)
    assert apart.spread == found.spread


@pytest.mark.parametrize("rule", ["official", "uss"])
@pytest.mark.parametrize("duration_s", [0.02, 0.5, 1.999])
def test_short_sounds_are_taken_whole(small, rule, duration_s):
    sound = make_noise(duration_s)
    found = encode_sounds(small, [(sound, RATE_HZ)], rule)
    assert found.num_pieces == 1 and found.spread == 0
    if rule == "official":
        np.testing.assert_allclose(found.conditions, embed(small, sound), atol=1e-5)


def test_uss_cuts_silence_out_and_repeats_the_rest():
    silence = torch.full((8_000,), 0.01)  # 2.5 stretches; the third holds the sound's beginning
    sound = torch.arange(1, 70_001) / 70_001 * 0.5 + 0.1
    pieces = cut_pieces_uss(torch.cat([silence, sound]))
    heard = torch.cat([silence[6_400:], sound])
    assert torch.equal(pieces[0], heard[:64_000])
    rest = heard[64_000:]
    assert torch.equal(pieces[1], rest.repeat(9)[:64_000])
    assert len(pieces) == 2 and len(rest) == 7_600


def test_spread_tells_different_sounds(small):
    noise = (make_noise(2), RATE_HZ)
    tone = (0.3 * np.sin(np.arange(64_000) * 0.2)[None].astype(np.float32), RATE_HZ)
    assert abs(encode_sounds(small, [noise, noise]).spread) < 1e-6
    assert encode_sounds(small, [noise, tone]).spread > 0.02


@pytest.mark.parametrize("rule", ["official", "uss"])
def test_a_silent_sound_is_named(small, rule):
    sounds = [(make_noise(2), RATE_HZ), (make_noise(4, 1e-4), RATE_HZ)]
    with pytest.raises(QueryError, match="example sound 2 of 2 is silent"):
        encode_sounds(small, sounds, rule)


def test_what_is_no_example_is_refused(small):
    with pytest.raises(AudioError, match=r"example sound 1 of 1 has 0.0100 s: 0.02 s are needed"):
        encode_sounds(small, [(make_noise(0.01), RATE_HZ)])
    with pytest.raises(QueryError, match="no example sounds"):
        encode_sounds(small, [])
    with pytest.raises(NonFiniteAudio):
        encode_sounds(small, [(np.full((1, 9_000), np.nan, np.float32), RATE_HZ)])
    with pytest.raises(RateError):
        encode_sounds(small, [(make_noise(2), 0)])
    with pytest.raises(RequestError, match="rule='best'"):
        encode_sounds(small, [(make_noise(2), RATE_HZ)], "best")  # pyright: ignore
    with pytest.raises(RequestError, match="combine='max'"):
        encode_sounds(small, [(make_noise(2), RATE_HZ)], combine="max")  # pyright: ignore
