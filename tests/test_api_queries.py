"""Test queries of example sounds in `load_model(...).separate` and `.encode`."""

import numpy as np
import pytest
import torch

from separator import load_model
from separator.audio.metrics import compute_sdri_db
from separator.encoders.latent import encode_sounds
from separator.errors import MediaUnreadable, ObjectMissing, QueryError, RequestError
from separator.model.checkpoint import write_safetensors
from separator.model.detector import Detector
from separator.model.zero_shot_files import pack_detector
from separator.sounds.catalog import make_sound
from tests.helpers import golden_zs, media_files

HZ = 32_000


def make(kind: str, seed: int, seconds: float = 4) -> np.ndarray:
    sound_T = make_sound(kind, seed, round(seconds * HZ)).astype(np.float32)
    return (0.3 * sound_T / np.abs(sound_T).max())[None]


@pytest.fixture(scope="module")
def mini():
    return load_model("mini", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def zero_shot(tmp_path_factory):
    path = tmp_path_factory.mktemp("zs") / "x.safetensors"
    net, detector = golden_zs.make_small_unet(), golden_zs.make_small_detector(num_classes=3)
    write_safetensors(net, path, None, encoder=pack_detector(detector, ["a", "b", "c"]))
    return load_model(path, device="cpu", precision="fp32")


def test_mini_separates_by_five_examples(mini, tmp_path):
    """A real SDR: the examples are other sounds of the kind, as an mp3, an ogg and samples."""
    examples: list = [(make("siren", seed), HZ) for seed in (21, 22, 23)]
    for name in ("d.mp3", "e.ogg"):
        examples.append(str(media_files.write(tmp_path / name, make("siren", 24), rate_hz=HZ)))
    target, other = make("siren", 1), make("rain", 1)
    mixture = target + other
    queries = [{"name": "alarm", "audio": examples}, "an emergency siren"]
    by_sound, by_text = mini.separate(mixture, HZ, queries=queries)
    assert compute_sdri_db(by_sound[0], target[0], mixture[0]) > 5
    silence = np.zeros_like(mixture)
    gain = compute_sdri_db(by_sound[0], target[0], mixture[0])
    assert gain > compute_sdri_db(silence[0], target[0], mixture[0]) + 3
    alone = mini.separate(mixture, HZ, queries=queries[1:])[0]
    np.testing.assert_allclose(by_text, alone, atol=1e-6)
    assert not np.allclose(by_text, by_sound, atol=1e-3)


def test_encode_keeps_the_order_of_mixed_queries(mini):
    sound = {"name": "s", "audio": [(torch.tensor(make("rain", 3)), HZ)]}
    rows = mini.encode(["rain", sound, "a dog barking"])
    texts = mini.encode(["rain", "a dog barking"])
    np.testing.assert_array_equal(rows[[0, 2]], texts)
    np.testing.assert_array_equal(rows[1], mini.encode([sound])[0])
    assert not np.allclose(rows[1], rows[0])


def test_a_zero_shot_model_separates_by_examples_and_by_conditions(zero_shot, tmp_path):
    sound, waveform = make("siren", 1), make("rain", 2)
    path = media_files.write(tmp_path / "a.wav", sound, "-c:a", "pcm_f32le", rate_hz=HZ)
    queries = [{"name": "s", "audio": str(tmp_path)}]
    stems = zero_shot.separate(waveform, HZ, queries=queries)
    detector = Detector(golden_zs.make_small_detector(num_classes=3), ["a", "b", "c"])
    condition = encode_sounds(detector, [(sound, HZ)]).conditions
    np.testing.assert_allclose(
        stems, zero_shot.separate(waveform, HZ, conditions=condition), atol=1e-5
    )
    assert path.exists() and stems.shape == (1, *waveform.shape)
    with pytest.raises(QueryError, match="query 'rain': this model separates by example sounds"):
        zero_shot.separate(waveform, HZ, queries=["rain"])


def test_mistakes_in_examples_are_typed_and_named(mini, tmp_path):
    (tmp_path / "x.wav").write_text("no media")
    silence = (np.zeros((1, HZ), np.float32), HZ)
    for audio, kind, message in (
        ([str(tmp_path / "x.wav")], MediaUnreadable, r"query 'q': .*x\.wav"),
        ([str(tmp_path / "gone.wav")], ObjectMissing, r"query 'q': .*gone\.wav"),
        ([silence], QueryError, r"query 'q': example sound 1 is silent"),
        ([], QueryError, r"queries\[0\]\.audio=\[\]"),
        ([(np.zeros((1, 8)), 8_000, 3)], QueryError, r"must be a path or a URI, or a pair"),
    ):
        with pytest.raises(kind, match=message):
            mini.encode([{"name": "q", "audio": audio}])
    with pytest.raises(RequestError, match="not by a detector; leave it out"):
        load_model("mini", device="cpu", detector="stsed")


def test_examples_that_differ_are_warned_of(mini, caplog):
    kinds = ("siren", "rain", "man", "drums", "bell")
    mini.encode([{"name": "q", "audio": [(make(kind, 1), HZ) for kind in kinds]}])
    assert "query 'q': its example sounds differ (spread" in caplog.text
