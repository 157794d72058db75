"""The mini encoder with untrained weights: words, texts, audio and files."""

import logging

import numpy as np
import pytest
import torch

from separator.api import load_model
from separator.encoders.mini import MiniEncoder, make_mel_bands, pack_mini, read_mini, write_mini
from separator.encoders.words import collect_words, split_words, stem
from separator.errors import (
    AudioError,
    CheckpointError,
    CheckpointMismatch,
    EncoderMissing,
    NonFiniteAudio,
)
from separator.model.checkpoint import read_encoder_id, write_safetensors
from separator.model.tensors import FORMAT, write_tensors
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
def test_split_words_cuts_endings_off(words, expected):
    assert {split_words(word)[0] for word in words} == {expected}


def test_stem_keeps_short_words_whole():
    assert [stem(word) for word in ("bus", "red", "bee", "sing")] == ["bus", "red", "bee", "sing"]


def test_encode_texts_ignores_order_case_and_fillers():
    encoder = make_encoder()
    conditions = encoder.encode_texts(
        ["a dog barking", "BARKING dog!", "the barks of the dogs", "rain"]
    )
    np.testing.assert_allclose(conditions[1], conditions[0], atol=1e-6)
    np.testing.assert_allclose(conditions[2], conditions[0], atol=1e-6)
    assert conditions[0] @ conditions[3] < 0.99
    np.testing.assert_allclose(np.linalg.norm(conditions, axis=1), 1, atol=1e-6)
    assert conditions.shape == (4, 512) and conditions.dtype == np.float32


def test_encode_texts_encodes_each_text_alone():
    encoder = make_encoder()
    together = encoder.encode_texts(["rain", "a man speaking on a roof"])
    np.testing.assert_array_equal(together[:1], encoder.encode_texts(["rain"]))


def test_list_unknown_finds_texts_without_a_known_word():
    encoder = make_encoder()
    texts = ["a dog", "xylophone", "the sound of it", "雨", "xylophone rain"]
    assert encoder.list_unknown(texts) == ["xylophone", "the sound of it", "雨"]
    unknown = encoder.encode_texts(["xylophone", "theremin"])
    np.testing.assert_array_equal(unknown[0], unknown[1])


def test_encode_audio_depends_on_the_sound_and_not_on_its_level():
    encoder, rng = make_encoder(), np.random.default_rng(0)
    noise = rng.standard_normal((2, 48_000)).astype(np.float32)
    one = encoder.encode_audio(noise, 48_000)
    assert one.shape == (512,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(one, encoder.encode_audio(noise, 48_000))
    np.testing.assert_allclose(encoder.encode_audio(0.1 * noise, 48_000), one, atol=1e-3)
    tone = np.sin(np.arange(64_000) / 20)[None]
    assert encoder.encode_audio(tone, 32_000) @ one < 0.999


@pytest.mark.parametrize("num_samples", [1, 100, 8_000, 700_000])
def test_encode_audio_takes_any_length(num_samples):
    condition = make_encoder().encode_audio(np.ones((1, num_samples), np.float32), 32_000)
    assert np.isfinite(condition).all()


def test_encode_audio_refuses_empty_and_non_finite_sounds():
    encoder = make_encoder()
    with pytest.raises(AudioError):
        encoder.encode_audio(np.zeros((1, 0), np.float32), 32_000)
    with pytest.raises(NonFiniteAudio):
        encoder.encode_audio(np.full((1, 9), np.nan), 32_000)


def test_mel_bands_cover_the_spectrum_and_sum_to_one():
    bands = make_mel_bands()
    assert (bands.sum(0) - 1).abs().max() < 1e-5
    centres = bands.argmax(0)
    assert (centres.diff() >= 0).all() and centres[-1] > 400


def write_model(path, encoder) -> None:
    write_safetensors(make_small_net(), path, encoder.encoder_id, encoder=pack_mini(encoder))


def test_checkpoint_brings_its_encoder_and_warns_of_unknown_texts(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    encoder = make_encoder()
    write_model(tmp_path / "m.safetensors", encoder)
    model = load_model(tmp_path / "m.safetensors", device="cpu")
    with caplog.at_level(logging.WARNING):
        conditions = model.encode(["a dog barking", "theremin"])
    np.testing.assert_array_equal(conditions[:1], encoder.encode_texts(["a dog barking"]))
    assert "theremin" in caplog.text and "dog" not in caplog.text
    assert model.encoder_id == encoder.encoder_id and not (tmp_path / "home").exists()


def test_encoder_id_changes_with_weights_and_words():
    one, same, other = make_encoder(), make_encoder(), make_encoder(seed=1)
    assert one.encoder_id == same.encoder_id != other.encoder_id
    fewer = MiniEncoder(one.words[:-1])
    assert fewer.encoder_id != one.encoder_id


@pytest.mark.parametrize("head_width", [0, 8, 96])  # 0: one layer, as files had it before
def test_read_mini_reads_what_write_mini_wrote(head_width, tmp_path):
    encoder = MiniEncoder(["rain"], head_width).eval()
    path = tmp_path / "encoder.safetensors"
    write_mini(path, encoder)
    assert read_encoder_id(path) == encoder.encoder_id == read_mini(path).encoder_id
    sound = np.random.default_rng(0).standard_normal((1, 32_000)).astype(np.float32)
    conditions = [e.encode_audio(sound, 32_000) for e in (encoder, read_mini(path))]
    np.testing.assert_array_equal(*conditions)


@pytest.mark.parametrize("shape", [(), (5,), (0, 1536), (2, 2)])
def test_read_mini_refuses_a_head_of_another_shape(shape, tmp_path):
    tensors, metadata = pack_mini(make_encoder())
    tensors["query_encoder.mini.audio.head.0.weight"] = torch.zeros(shape)
    write_tensors(tmp_path / "m.safetensors", tensors, metadata | {"format": FORMAT})
    with pytest.raises(CheckpointMismatch, match="other tensors"):
        read_mini(tmp_path / "m.safetensors")


def test_read_mini_refuses_files_without_its_tensors(tmp_path):
    path = tmp_path / "m.safetensors"
    write_safetensors(make_small_net(), path, None)
    with pytest.raises(EncoderMissing, match="no mini encoder"):
        read_mini(path)
    tensors, metadata = pack_mini(make_encoder())
    tensors.popitem()
    write_tensors(path, tensors, metadata | {"format": FORMAT})
    with pytest.raises(CheckpointMismatch, match="other tensors"):
        read_mini(path)


@pytest.mark.parametrize("words", ["", "5", "{}", "[5]", "[NaN]", "[" * 100_000, "null"])
def test_read_mini_refuses_damaged_words(tmp_path, words):
    tensors, metadata = pack_mini(make_encoder())
    write_tensors(tmp_path / "x", tensors, metadata | {"format": FORMAT, "words": words})
    with pytest.raises(CheckpointMismatch, match="words: "):
        read_mini(tmp_path / "x")


def test_read_mini_refuses_weights_that_are_not_finite(tmp_path):
    encoder = make_encoder()
    torch.nn.init.constant_(encoder.text.weights.weight[:1], float("nan"))
    write_mini(tmp_path / "x", encoder)
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        read_mini(tmp_path / "x")


@pytest.mark.parametrize("damaged", [1e30, 1e300])
def test_encode_audio_hears_a_sound_with_a_damaged_sample(damaged):
    encoder = make_encoder()
    sound_CT = np.random.default_rng(0).standard_normal((2, 32_000))
    sound_CT[0, 9_000] = damaged
    condition_D = encoder.encode_audio(sound_CT, 32_000)
    assert np.linalg.norm(condition_D) == pytest.approx(1, abs=1e-6)
