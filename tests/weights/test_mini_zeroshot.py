"""Load the small zero-shot model and its detector by name, offline.

Both are used on sounds that were not trained with: of known kinds, and of six kinds that neither
has ever met.
"""

import numpy as np
import pytest
import torch

from separator import load_model
from separator.api import load_htsat
from separator.audio.metrics import compute_sdri_db
from separator.config_file import read_settings
from separator.errors import QueryError
from separator.model.registry import BUNDLED_FILES, MINI_ZEROSHOT
from separator.sounds.bank import FOLDER_VARIABLE
from separator.sounds.catalog import CLASSES, make_sound
from separator.train.mining import mine
from separator.train.mixer import mix
from separator.train.recipe import TrainSettings
from tests.helpers.training import ROOT

RATE_HZ = 32_000
FIRST_SEED = 4_000_000  # seeds of training are small
NEW_KINDS = ["cat", "owl", "telephone", "thunder", "trumpet", "typing"]
KNOWN_KINDS = ["siren", "hum", "crickets", "strings", "footsteps", "helicopter"]


@pytest.fixture(scope="module")
def model():
    return load_model("mini-zeroshot", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def detector():
    return load_htsat("mini-zeroshot")


@pytest.fixture(autouse=True)
def without_network_or_bank(monkeypatch):
    monkeypatch.setenv("SEPARATOR_OFFLINE", "1")
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def make(kind: str, seed: int, seconds: float = 4.0) -> np.ndarray:
    return make_sound(kind, FIRST_SEED + seed, round(seconds * RATE_HZ), held_out=True)


def measure_gain_db(model, kind: str, other: str, seed: int, num_examples: int) -> float:
    """Separate one kind from another at 0 dB by example sounds of other seeds."""
    mixture, (target, *_) = mix(make(kind, seed), [make(other, seed)], [0.0])
    examples = [(make(kind, 100 + seed + i)[None], RATE_HZ) for i in range(num_examples)]
    stem = model.separate(mixture[None], RATE_HZ, [{"name": kind, "audio": examples}])[0, 0]
    return float(compute_sdri_db(stem, target, mixture))


def test_both_lie_in_one_file_of_at_most_8_mb(model, detector):
    assert BUNDLED_FILES[MINI_ZEROSHOT].stat().st_size <= 8e6
    assert detector.latent_size == model.engine.config.condition_size
    sound = make("siren", 0, 2.0)
    by_name = model.encode([{"name": "siren", "audio": [(sound[None], RATE_HZ)]}])
    inferred = detector.infer(torch.from_numpy(sound)[None]).latent
    np.testing.assert_allclose(by_name, inferred.numpy(), atol=1e-5)


def test_the_new_kinds_are_no_labels_and_left_out_by_both_recipes(detector):
    assert not set(NEW_KINDS) & set(detector.labels) and set(NEW_KINDS) < set(CLASSES)
    for name, encoder in (("mini-zeroshot-detector", []), ("mini-zeroshot", ["encoder=x"])):
        config = ROOT / f"configs/train-{name}.yaml"
        settings = read_settings(TrainSettings, config, ["output=runs", *encoder])
        assert settings.data.without == NEW_KINDS


def test_separates_kinds_that_it_has_never_met(model):
    gains = [measure_gain_db(model, kind, "hum", 0, 1) for kind in NEW_KINDS]
    assert np.mean(gains) > 3, dict(zip(NEW_KINDS, gains, strict=True))


def test_a_text_is_refused_with_what_it_takes(model):
    with pytest.raises(QueryError, match="by example sounds"):
        model.separate(make("siren", 0)[None], RATE_HZ, ["a siren"])


def test_detector_says_what_sounds_when(detector):
    track = np.random.default_rng(0).normal(0, 1e-4, 20 * RATE_HZ).astype(np.float32)
    track[12 * RATE_HZ : 16 * RATE_HZ] += make("siren", 0)
    found = detector.detect(track[None], RATE_HZ)
    curve = found.framewise[:, detector.labels.index("siren")]
    rows = np.arange(len(curve)) * found.frame_s
    inside = (rows >= 12) & (rows < 16)
    assert curve[inside].mean() > 3 * curve[rows < 10].mean()


@pytest.mark.slow
def test_five_examples_are_not_worse_than_one(model):
    pairs = [(kind, other) for kind in NEW_KINDS + KNOWN_KINDS for other in ("fire", "organ")]
    one, five = (
        np.mean([measure_gain_db(model, *pair, seed=1, num_examples=n) for pair in pairs])
        for n in (1, 5)
    )
    assert five > one - 0.3 and one > 4, (one, five)


@pytest.mark.slow
def test_mining_finds_the_two_seconds_of_an_event(detector):
    rng = np.random.default_rng(5)
    hits = []
    for kind in detector.labels:
        for seed in range(2):
            event = make(kind, seed, rng.uniform(0.6, 1.5))
            start = int(rng.integers(10 * RATE_HZ - len(event)))
            clip = rng.normal(0, 10 ** (rng.uniform(-75, -60) / 20), 10 * RATE_HZ)
            clip[start : start + len(event)] += event
            samples = torch.from_numpy(clip).float()
            (found,) = mine(detector, samples, [kind], "windows")
            begin = round(found.start_s * RATE_HZ)
            hits.append(begin <= start and start + len(event) <= begin + 2 * RATE_HZ)
    assert np.mean(hits) >= 0.9, np.mean(hits)
