"""The mini encoder: words in any order, unknown words told, files, audio; on untrained weights."""

import logging

import numpy as np
import pytest
import torch

from separator.api import load_model
from separator.encoders.mini import MiniEncoder, make_mel_bands, pack_mini, read_mini, write_mini
from separator.encoders.words import collect_words, split_words, stem
from separator.errors import AudioError, CheckpointMismatch, EncoderMissing, NonFiniteAudio
from separator.model.checkpoint import FORMAT, read_encoder_id, write_safetensors
from separator.model.tensors import write_tensors
from tests.helpers.golden import make_small_net

CAPTIONS = ["a dog barking", "rain falling on a roof", "an emergency siren", "a man speaking"]


def make_encoder(seed: int = 0) -> MiniEncoder:
    torch.manual_seed(seed)
    return MiniEncoder(collect_words(CAPTIONS)).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bark", "barks", "barking", "barked"], "bark"),
        (["ring", "rings", "ringing"], "ring"),
        (["run", "running", "runs"], "run"),
        (["bell", "bells"], "bell"),
        (["horse", "horses"], "hors"),
        (["siren", "sirens", "siren's"], "siren"),
    ],
)
def test_endings_do_not_matter(words, expected):
    assert {split_words(word)[0] for word in words} == {expected}


def test_short_words_keep_what_looks_like_an_ending():
    assert [stem(word) for word in ("bus", "red", "bee", "sing")] == ["bus", "red", "bee", "sing"]


def test_order_case_and_fillers_do_not_matter():
    encoder = make_encoder()
    conditions = encoder.encode_texts(
        ["a dog barking", "BARKING dog!", "the barks of the dogs", "rain"]
    )
    np.testing.assert_allclose(conditions[1], conditions[0], atol=1e-6)
    np.testing.assert_allclose(conditions[2], conditions[0], atol=1e-6)
    assert conditions[0] @ conditions[3] < 0.99
    np.testing.assert_allclose(np.linalg.norm(conditions, axis=1), 1, atol=1e-6)
    assert conditions.shape == (4, 512) and conditions.dtype == np.float32


def test_a_condition_does_not_depend_on_its_neighbours():
    encoder = make_encoder()
    together = encoder.encode_texts(["rain", "a man speaking on a roof"])
    np.testing.assert_array_equal(together[:1], encoder.encode_texts(["rain"]))


def test_texts_without_a_known_word_are_told():
    encoder = make_encoder()
    texts = ["a dog", "xylophone", "the sound of it", "雨", "xylophone rain"]
    assert encoder.list_unknown(texts) == ["xylophone", "the sound of it", "雨"]
    unknown = encoder.encode_texts(["xylophone", "theremin"])
    np.testing.assert_array_equal(unknown[0], unknown[1])


def test_audio_conditions():
    encoder, rng = make_encoder(), np.random.default_rng(0)
    noise = rng.standard_normal((2, 48_000)).astype(np.float32)
    one = encoder.encode_audio(noise, 48_000)
    assert one.shape == (512,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(one, encoder.encode_audio(noise, 48_000))
    # How loud it was recorded says nothing of what it is.
    np.testing.assert_allclose(encoder.encode_audio(0.1 * noise, 48_000), one, atol=1e-3)
    tone = np.sin(np.arange(64_000) / 20)[None]
    assert encoder.encode_audio(tone, 32_000) @ one < 0.999


@pytest.mark.parametrize("num_samples", [1, 100, 8_000, 700_000])
def test_audio_of_any_length(num_samples):
    condition = make_encoder().encode_audio(np.ones((1, num_samples), np.float32), 32_000)
    assert np.isfinite(condition).all()


def test_bad_audio_is_refused():
    encoder = make_encoder()
    with pytest.raises(AudioError):
        encoder.encode_audio(np.zeros((1, 0), np.float32), 32_000)
    with pytest.raises(NonFiniteAudio):
        encoder.encode_audio(np.full((1, 9), np.nan), 32_000)


def test_mel_bands_cover_the_spectrum():
    bands = make_mel_bands()
    assert (bands.sum(0) - 1).abs().max() < 1e-5
    centres = bands.argmax(0)
    assert (centres.diff() >= 0).all() and centres[-1] > 400


def write_model(path, encoder) -> None:
    write_safetensors(make_small_net(), path, encoder.encoder_id, encoder=pack_mini(encoder))


def test_it_travels_inside_a_checkpoint(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    encoder = make_encoder()
    write_model(tmp_path / "m.safetensors", encoder)
    model = load_model(tmp_path / "m.safetensors", device="cpu")
    with caplog.at_level(logging.WARNING):
        conditions = model.encode(["a dog barking", "theremin"])
    np.testing.assert_array_equal(conditions[:1], encoder.encode_texts(["a dog barking"]))
    assert "theremin" in caplog.text and "dog" not in caplog.text
    assert model.encoder_id == encoder.encoder_id and not (tmp_path / "home").exists()


def test_the_id_changes_with_weights_and_words():
    one, same, other = make_encoder(), make_encoder(), make_encoder(seed=1)
    assert one.encoder_id == same.encoder_id != other.encoder_id
    fewer = MiniEncoder(one.words[:-1])
    assert fewer.encoder_id != one.encoder_id


def test_a_file_of_its_own(tmp_path):
    encoder = make_encoder()
    path = tmp_path / "encoder.safetensors"
    write_mini(path, encoder)
    assert read_encoder_id(path) == encoder.encoder_id == read_mini(path).encoder_id


def test_wrong_files_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    write_safetensors(make_small_net(), path, None)
    with pytest.raises(EncoderMissing, match="no mini encoder"):
        read_mini(path)
    tensors, metadata = pack_mini(make_encoder())
    tensors.popitem()
    write_tensors(path, tensors, metadata | {"format": FORMAT})
    with pytest.raises(CheckpointMismatch, match="another encoder"):
        read_mini(path)
