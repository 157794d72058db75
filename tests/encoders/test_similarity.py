"""Similarity by the bundled encoder: of sounds to their own and to other queries, of silence."""

import math

import numpy as np
import pytest

from separator.encoders.mini import MiniEncoder, read_mini
from separator.encoders.similarity import SimilarityMeter
from separator.model.registry import resolve
from separator.sounds.catalog import make_sound
from separator.storage import Storage

TEXTS = {"siren": "an emergency siren", "rain": "rain", "man": "a man speaking"}


@pytest.fixture(scope="module")
def meter() -> SimilarityMeter:
    return SimilarityMeter(read_mini(resolve("mini", Storage().fetch)))


@pytest.fixture(scope="module")
def conditions(meter) -> dict[str, np.ndarray]:
    assert isinstance(meter.encoder, MiniEncoder)
    rows_QD = meter.encoder.encode_texts(list(TEXTS.values()))
    return dict(zip(TEXTS, rows_QD, strict=True))


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("rate_hz", [32_000, 48_000])
def test_compare_finds_the_query_of_a_sound_at_any_rate(meter, conditions, kind, rate_hz):
    sound_CT = make_sound(kind, 5, 8 * 32_000).astype(np.float32)[None]
    if rate_hz == 48_000:
        at = np.arange(0, sound_CT.shape[1], 2 / 3)
        sound_CT = np.interp(at, np.arange(sound_CT.shape[1]), sound_CT[0])[None]
        sound_CT = np.concatenate([sound_CT, 0.5 * sound_CT]).astype(np.float32)
    found = {name: meter.compare(sound_CT, rate_hz, c_D) for name, c_D in conditions.items()}
    assert max(found, key=lambda name: found[name]) == kind and min(found.values()) >= -1
    assert found[kind] > 0.3


def test_compare_uses_the_loudest_seconds(meter, conditions):
    sound_CT = make_sound("siren", 5, 4 * 32_000).astype(np.float32)[None]
    wanted = meter.compare(sound_CT, 32_000, conditions["siren"])
    hiss_CT = 1e-3 * np.random.default_rng(0).standard_normal((1, 32_000 * 20))
    # 20 s are whole steps of the search.
    long_CT = np.concatenate([hiss_CT, sound_CT, hiss_CT], 1).astype(np.float32)
    assert meter.compare(long_CT, 32_000, conditions["siren"]) == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("length", [0, 1, 100_000])
def test_compare_of_silence_is_nan(meter, conditions, length):
    silence_CT = np.zeros((2, length), np.float32)
    assert math.isnan(meter.compare(silence_CT, 32_000, conditions["rain"]))


def test_compare_of_channels_that_cancel_each_other_out_is_nan(meter, conditions):
    sound_CT = make_sound("rain", 5, 64_000).astype(np.float32)[None]
    assert not math.isnan(meter.compare(sound_CT, 32_000, conditions["rain"]))
    cancelled_CT = np.concatenate([sound_CT, -sound_CT])
    assert math.isnan(meter.compare(cancelled_CT, 32_000, conditions["rain"]))
