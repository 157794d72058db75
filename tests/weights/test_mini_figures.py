"""Load the bundled model by name, offline, and separate sounds made by numpy."""

import logging

import numpy as np
import pytest

from jobs.demo_library import mix_track
from separator import load_model
from separator.audio.metrics import compute_level_db, compute_sdri_db
from separator.model.registry import BUNDLED
from separator.sounds.bank import FOLDER_VARIABLE
from separator.sounds.catalog import make_sound
from separator.train.mixer import mix

RATE_HZ = 32_000
PAIRS = [("siren", "hum"), ("man", "hiss"), ("drums", "flute"), ("thunder", "bird")]
QUERIES = {
    "siren": "an emergency siren",
    "hum": "a low electrical hum",
    "man": "a man speaking",
    "hiss": "steady hiss",
    "drums": "drums",
    "flute": "someone plays the flute",
    "thunder": "thunder",
    "bird": "birds singing",
}


@pytest.fixture(scope="module")
def model():
    return load_model("mini", device="cpu")


@pytest.fixture(autouse=True)
def without_network_or_bank(monkeypatch):
    monkeypatch.setenv("SEPARATOR_OFFLINE", "1")
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def make_mixture(one: str, other: str, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Mix two sounds at one level, of seeds that were never trained with."""
    sounds = [
        make_sound(name, 3_000_000 + seed, 4 * RATE_HZ, held_out=True) for name in (one, other)
    ]
    mixture, (target, *_) = mix(sounds[0], [sounds[1]], [0.0])
    return mixture, {one: target, other: mixture - target}


def test_bundled_weights_are_under_10_mb():
    assert BUNDLED.stat().st_size < 10e6  # those of mini-zeroshot have a bound of their own


@pytest.mark.slow
@pytest.mark.check
def test_separate_gains_6_db_for_either_of_two_sounds(model):
    gains = []
    for one, other in PAIRS:
        for seed in range(2):
            mixture, targets = make_mixture(one, other, seed)
            stems = model.separate(mixture[None], RATE_HZ, [QUERIES[name] for name in targets])
            for stem, target in zip(stems[:, 0], targets.values(), strict=True):
                gains.append(float(compute_sdri_db(stem, target, mixture)))
    assert np.mean(gains) > 6 and np.median(gains) > 6


@pytest.mark.slow
@pytest.mark.check
def test_separate_absent_query_lies_10_db_under_the_mixture(model):
    under = []
    for absent, (one, other) in zip(("siren", "drums", "bird", "man"), PAIRS[::-1], strict=True):
        if absent in (one, other):
            continue
        mixture, _ = make_mixture(one, other, 5)
        stem = model.separate(mixture[None], RATE_HZ, [QUERIES[absent]])[0, 0]
        under.append(float(compute_level_db(mixture) - compute_level_db(stem)))
    assert np.median(under) > 10


def test_encode_warns_of_unknown_words(model, caplog):
    with caplog.at_level(logging.WARNING):
        model.encode(["a theremin"])
    assert "theremin" in caplog.text


def test_separate_by_an_example_sound_gains_3_db(model):
    mixture, targets = make_mixture("siren", "hum", 7)
    example = make_sound("hum", 3_000_100, 4 * RATE_HZ)
    condition = model.load_encoder().encode_audio(example[None], RATE_HZ)
    stem = model.separate(mixture[None], RATE_HZ, conditions=condition[None])[0, 0]
    assert compute_sdri_db(stem, targets["hum"], mixture) > 3


@pytest.mark.slow
@pytest.mark.check
def test_separate_gains_2_db_for_each_of_three_sounds(model):
    mixture, truth = mix_track(("man", "siren", "rain"), 5)
    queries = ["a person speaking", "an emergency siren", "rain falling"]
    stems = model.separate(mixture[None].astype(np.float32), RATE_HZ, queries)
    for stem, target in zip(stems[:, 0], truth.values(), strict=True):
        assert compute_sdri_db(stem, target, mixture) > 2
