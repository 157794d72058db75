"""A model that was trained with CLIP is asked by text, image and video; others refuse images."""

import numpy as np
import pytest
from PIL import Image

from separator.api import load_model
from separator.encoders.clip import read_clip
from separator.encoders.lookup import find_audio_encoder
from separator.errors import EncoderMissing, QueryError
from separator.model.checkpoint import write_safetensors
from separator.model.resunet import NetworkConfig, ResUNet
from separator.queries import parse_queries
from separator.run.conditions import encode_sounds, give_versions, list_all_examples, read_weights
from separator.storage import Storage
from tests.helpers.tiny_clip import write_openai

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


@pytest.fixture
def model_path(tmp_path, monkeypatch):
    """A separator beside the user's own copy of CLIP."""
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    encoder = read_clip(write_openai(tmp_path / "home"), is_raw=True)
    net = ResUNet(NetworkConfig(widths=(4, 4, 4, 4, 4, 4), n_fft=256, hop=128))
    write_safetensors(net, tmp_path / "model.safetensors", encoder.encoder_id)
    for number in range(2):
        Image.fromarray(PIXELS + np.uint8(number)).save(tmp_path / f"{number}.png")
    return tmp_path / "model.safetensors"


def test_model_with_clip_takes_texts_and_images(model_path, tmp_path):
    model = load_model(model_path, device="cpu")
    encoder = read_clip(tmp_path / "home/ViT-B-32.pt", is_raw=True)
    folder = {"name": "both", "image": str(tmp_path)}
    one = {"name": "one", "image": str(tmp_path / "0.png")}
    conditions_QD = model.encode(["rain", one, folder])
    np.testing.assert_allclose(conditions_QD[0], encoder.encode_texts(["rain"])[0], atol=1e-6)
    np.testing.assert_allclose(conditions_QD[1], encoder.encode_images([PIXELS]), atol=1e-6)
    mean_D = encoder.encode_images([PIXELS, PIXELS + np.uint8(1)])
    np.testing.assert_allclose(conditions_QD[2], mean_D, atol=1e-6)
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 3_200)).astype(np.float32)
    assert model.separate(noise, 32_000, [one, "rain"]).shape == (2, 1, 3_200)
    with pytest.raises(QueryError, match="takes texts and images"):
        model.encode([{"name": "x", "audio": [(noise, 32_000)]}])
    assert find_audio_encoder(model_path, model.encoder_id) is None


def test_job_makes_the_same_condition_and_its_version_tells_images_apart(model_path, tmp_path):
    storage, weights = Storage(), read_weights(model_path)
    texts = [{"name": str(n), "image": str(tmp_path / f"{n}.png")} for n in range(2)]
    queries = parse_queries(texts)
    examples = list_all_examples(storage, queries)
    given = give_versions(queries, examples, weights.encoder_id or "")
    found = encode_sounds(model_path, weights, "auto", storage, given, examples)
    model = load_model(model_path, device="cpu")
    for query, condition_D in zip(given, model.encode(texts), strict=True):
        np.testing.assert_allclose(found.by_key[query.key], condition_D, atol=1e-6)
    assert given[0].version != given[1].version


def test_model_without_its_clip_says_which_file_goes_where(model_path, tmp_path, monkeypatch):
    model = load_model(model_path, device="cpu")
    write_openai(tmp_path / "home", seed=1)
    with pytest.raises(EncoderMissing, match="the checkpoint needs the CLIP 'clip:"):
        model.encode(["rain, not heard of before"])
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "home/ViT-B-32.pt").unlink()
    with pytest.raises(EncoderMissing, match=r"put ViT-B-32\.pt \(from"):
        model.encode(["rain, not heard of before"])


def test_other_models_take_no_images(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    with pytest.raises(QueryError, match="takes no images: only a model that was trained with"):
        load_model("mini", device="cpu").encode([{"name": "x", "image": str(tmp_path / "a.png")}])
