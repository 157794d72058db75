"""CLIP's weights in every layout give one embedding; images and texts become conditions."""

import io
import json
import pickle
import sys
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from separator.encoders.clip import load_clip, read_clip, read_sizes
from separator.encoders.clip_weights import find_clip, read_clip_file
from separator.errors import (
    CheckpointTruncated,
    CheckpointUnsafe,
    EncoderError,
    EncoderMissing,
    QueryError,
)
from tests.helpers.tiny_clip import write_hugging_face, write_open_clip, write_openai

TEXTS = ["a dog barking", "rain on a window, and 2 birds"]
IMAGE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return {
        "openai": write_openai(folder / "openai"),
        "open_clip": write_open_clip(folder / "open_clip"),
        "hugging_face": write_hugging_face(folder / "hugging_face"),
    }


def test_all_layouts_give_one_embedding_and_one_id(files):
    encoders = {layout: read_clip(path) for layout, path in files.items()}
    assert len({encoder.encoder_id for encoder in encoders.values()}) == 1
    first = encoders["hugging_face"]
    texts_QD, image_D = first.encode_texts(TEXTS), first.encode_images([IMAGE])
    assert not np.allclose(texts_QD[0], texts_QD[1], atol=1e-2)
    for encoder in encoders.values():
        np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts_QD, atol=1e-5)
        np.testing.assert_allclose(encoder.encode_images([IMAGE]), image_D, atol=1e-5)


def compute_by_hand(path, text_ids: list[int]) -> np.ndarray:
    """Compute the text side in plain torch operations, with OpenAI's own definition."""
    w = torch.jit.load(str(path)).state_dict()
    x = w["token_embedding.weight"][text_ids] + w["positional_embedding"][: len(text_ids)]
    mask = torch.full((len(text_ids), len(text_ids)), float("-inf")).triu(1)

    def norm(x, name):
        return torch.nn.functional.layer_norm(x, (64,), w[f"{name}.weight"], w[f"{name}.bias"])

    for i in range(2):
        at = f"transformer.resblocks.{i}"
        h = norm(x, f"{at}.ln_1")
        q, k, v = (h @ w[f"{at}.attn.in_proj_weight"].T + w[f"{at}.attn.in_proj_bias"]).chunk(3, -1)
        attended = torch.softmax(q @ k.T / 8 + mask, -1) @ v
        x = x + attended @ w[f"{at}.attn.out_proj.weight"].T + w[f"{at}.attn.out_proj.bias"]
        h = norm(x, f"{at}.ln_2") @ w[f"{at}.mlp.c_fc.weight"].T + w[f"{at}.mlp.c_fc.bias"]
        h = h * torch.sigmoid(1.702 * h)
        x = x + h @ w[f"{at}.mlp.c_proj.weight"].T + w[f"{at}.mlp.c_proj.bias"]
    return (norm(x, "ln_final")[-1] @ w["text_projection"]).numpy()


def test_raw_text_condition_is_what_plain_operations_give(files):
    # "rain" is one token of the table: 2443 with the blank after it.
    encoder = read_clip(files["openai"], is_raw=True)
    expected_D = compute_by_hand(files["openai"], [49_406, 2443, 49_407])
    found_D = encoder.encode_texts(["rain"])[0]
    np.testing.assert_allclose(found_D, expected_D, atol=1e-4)
    unit = read_clip(files["openai"])
    assert np.linalg.norm(unit.encode_texts(["rain"])[0]) == pytest.approx(1, abs=1e-6)
    assert unit.encoder_id + ":raw" == encoder.encoder_id


def test_condition_of_images_is_the_mean_of_theirs(files):
    encoder = read_clip(files["openai"], is_raw=True)
    other = IMAGE[::-1, :, ::-1].copy()
    mean_D = (encoder.encode_images([IMAGE]) + encoder.encode_images([other])) / 2
    np.testing.assert_allclose(encoder.encode_images([IMAGE, other]), mean_D, atol=1e-5)
    with pytest.raises(QueryError, match="no image"):
        encoder.encode_images([])
    with pytest.raises(QueryError, match=r"\(height, width, 3\) bytes needed"):
        encoder.encode_images([IMAGE[..., 0]])


def test_long_text_is_cut_and_keeps_its_end(files):
    encoder = read_clip(files["openai"])
    long = encoder.encode_texts(["rain " * 100, "rain " * 90])
    np.testing.assert_allclose(long[0], long[1], atol=1e-6)
    assert np.isfinite(long).all()


def test_file_without_its_activation_is_refused_and_another_activation_is_another_encoder(
    files, tmp_path
):
    path = write_open_clip(tmp_path / "bare", with_config=False)
    with pytest.raises(EncoderError, match="with which activation it was trained"):
        read_clip(path)
    (path.parent / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}}))
    plain, quick = read_clip(path), read_clip(files["open_clip"])
    assert read_clip_file(path).activation == "gelu"
    assert plain.encoder_id != quick.encoder_id
    assert not np.allclose(plain.encode_texts(TEXTS), quick.encode_texts(TEXTS), atol=1e-3)


def test_absent_file_is_an_error_that_says_which_goes_where(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderMissing) as caught:
        find_clip(tmp_path / "home", tmp_path / "cache")
    said = str(caught.value)
    assert "put ViT-B-32.pt (from https://" in said and str(tmp_path / "home") in said
    assert "config.json and model.safetensors of openai/clip-vit-base-patch32" in said


def test_copies_are_found_in_our_folder_and_in_that_of_openai(tmp_path):
    cached = write_openai(tmp_path / "cache")
    assert find_clip(tmp_path / "home", tmp_path / "cache") == cached
    own = write_hugging_face(tmp_path / "home/clip")
    assert find_clip(tmp_path / "home", tmp_path / "cache") == own


class Attack:
    def __reduce__(self):
        return print, ("never",)


def test_archive_with_other_objects_is_refused(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/constants.pkl", b"")
        archive.writestr("x/data.pkl", pickle.dumps(Attack(), 2))
    with pytest.raises(CheckpointUnsafe, match=r"asks for __builtin__\.print"):
        read_clip_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/constants.pkl", b"")
        archive.writestr("x/data.pkl", b"\x80\x02junk")
    with pytest.raises(EncoderError, match="a damaged archive"):
        read_clip_file(path)


@pytest.mark.parametrize("names", [{"a": torch.zeros(1)}, {"visual.conv1.weight": torch.zeros(1)}])
def test_other_weights_are_refused(names, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(names, path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match="no CLIP with two transformers"):
        read_clip(path)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_very_long_image_is_read_at_its_middle(files, axis):
    """Scaled as a whole it would be 224 by more pixels than memory holds."""
    encoder, length = read_clip(files["openai"]), 10_000_000
    line_N13 = np.zeros((length, 1, 3), np.uint8)
    line_N13[length // 2 - 10 : length // 2 + 10] = 200
    found_D = encoder.encode_images([line_N13 if axis == 0 else line_N13.transpose(1, 0, 2)])
    grey_HW3 = np.full((3, 3, 3), 200, np.uint8)
    np.testing.assert_allclose(found_D, encoder.encode_images([grey_HW3]), atol=1e-6)


def write_archive(path: Path, tree: object, storage: bytes = b"", compression: int = 0) -> Path:
    """Write a TorchScript archive by hand; `tree` is pickled, `storage` holds its floats."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x/constants.pkl", b"")
        buffer = io.BytesIO()
        TreePickler(buffer, 2).dump(tree)
        archive.writestr("x/data.pkl", buffer.getvalue())
        archive.writestr("x/data/0", storage)
    return path


class Floats:
    """Stands for the storage that an archive keeps beside the pickle."""


class TreePickler(pickle.Pickler):
    def persistent_id(self, obj):
        return ("storage", torch.FloatStorage, "0", "cpu", 4) if isinstance(obj, Floats) else None


class Repeated:
    """A tensor of four numbers that claims to be a million."""

    def __reduce__(self):
        size, stride = (1_000, 1_000), (0, 0)
        return torch._utils._rebuild_tensor_v2, (Floats(), 0, size, stride, False, OrderedDict())


def test_archive_that_would_fill_memory_is_refused(files, tmp_path):
    deflated = tmp_path / "deflated.pt"
    with (
        zipfile.ZipFile(files["openai"]) as archive,
        zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    with pytest.raises(CheckpointTruncated, match="compressed contents"):
        read_clip_file(deflated)
    with pytest.raises(EncoderError, match="repeats its storage"):
        read_clip_file(write_archive(tmp_path / "repeated.pt", Repeated(), bytes(16)))


class Script:
    """A module of a TorchScript archive whose state is no dict of its members."""

    def __reduce__(self):
        return Script, (), [1, 2]


def test_damage_of_an_archive_or_a_config_is_an_error_of_one_line(files, tmp_path, monkeypatch):
    monkeypatch.setattr(Script, "__module__", "__torch__")
    monkeypatch.setitem(sys.modules, "__torch__", SimpleNamespace(Script=Script))
    with pytest.raises(EncoderError, match="a damaged archive"):
        read_clip_file(write_archive(tmp_path / "list.pt", Script()))
    path = write_hugging_face(tmp_path / "deep")
    (path.parent / "config.json").write_text("[" * 100_000)
    with pytest.raises(EncoderError, match=r"config\.json: no config of a CLIP"):
        read_clip_file(path)


def test_layers_are_those_in_the_file_whatever_their_numbers(files):
    weights = read_clip_file(files["hugging_face"])
    name = "text_model.encoder.layers.{}.mlp.fc1.bias"
    far = weights.state | {name.format(99_999): weights.state[name.format(0)]}
    assert read_sizes(far).text_layers == 3
    with pytest.raises(EncoderError, match="do not fit a CLIP"):
        load_clip(replace(weights, state=far))
    wide = weights.state | {name.format(0): torch.zeros(1 << 40, device="meta")}
    with pytest.raises(EncoderError, match="do not fit a CLIP"):
        load_clip(replace(weights, state=wide))
