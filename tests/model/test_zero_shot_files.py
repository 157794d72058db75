"""Test that official files load whole or not at all, and that a wrong one is named."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from separator import load_model
from separator.api import load_htsat
from separator.errors import (
    CheckpointError,
    CheckpointMismatch,
    CheckpointMissing,
    CheckpointUnsafe,
    ChecksumMismatch,
)
from separator.model.registry import BUNDLED, resolve
from tests.helpers import golden_zs


class Anything:
    """Of a class that only its own code knows."""


@pytest.fixture(scope="module")
def detector_state():
    net = golden_zs.make_small_detector()
    return {f"sed_model.{name}": tensor for name, tensor in net.state_dict().items()}


@pytest.fixture(scope="module")
def detector_file(detector_state, tmp_path_factory):
    return golden_zs.write_official(tmp_path_factory.mktemp("file") / "own.ckpt", detector_state)


def refuse(read, path, state, kind=CheckpointMismatch) -> str:
    with pytest.raises(kind) as caught:
        read(golden_zs.write_official(path, state))
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_constants_of_the_official_file_are_left_aside(detector_state, tmp_path):
    constants = {
        "sed_model.head.weight": torch.zeros(527, 527),
        "sed_model.spectrogram_extractor.stft.conv_real.weight": torch.zeros(5),
        "sed_model.layers.0.blocks.0.attn.relative_position_index": torch.zeros(64, 64),
        "sed_model.layers.1.blocks.1.attn_mask": torch.zeros(16, 64, 64),
    }
    path = golden_zs.write_official(tmp_path / "a.ckpt", detector_state | constants)
    assert load_htsat(path).net.config.width == 8


def test_labels_of_other_classes_are_numbers(tmp_path):
    net = golden_zs.make_small_detector(num_classes=3)
    detector = load_htsat(golden_zs.write_detector(tmp_path / "a.ckpt", net))
    assert detector.labels == ("0", "1", "2")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("layers.0.blocks.0.attn.qkv.bias", "1 missing .first: layers.0.blocks.0.attn.qkv.bias"),
        ("norm.weight", "1 missing .first: norm.weight"),
        ("logmel_extractor.melW", "melW"),
        ("tscam_conv.weight", "without a token-semantic head"),
    ],
)
def test_a_detector_without_one_tensor_is_refused(detector_state, tmp_path, name, message):
    state = dict(detector_state)
    del state[f"sed_model.{name}"]
    with pytest.raises(CheckpointMismatch, match=message):
        load_htsat(golden_zs.write_official(tmp_path / "a.ckpt", state))


def test_a_detector_with_more_or_other_tensors_is_refused(detector_state, tmp_path):
    more = detector_state | {"sed_model.fusion.weight": torch.zeros(2)}
    assert "1 unexpected (first: fusion.weight)" in refuse(load_htsat, tmp_path / "a.ckpt", more)
    other = detector_state | {"sed_model.norm.bias": torch.zeros(5)}
    message = refuse(load_htsat, tmp_path / "b.ckpt", other)
    assert "norm.bias float[5] for float[64]" in message
    broken = detector_state | {"sed_model.norm.bias": torch.full((64,), torch.nan)}
    assert "NaN" in refuse(load_htsat, tmp_path / "c.ckpt", broken, CheckpointError)


def test_a_detector_of_another_rate_is_refused(detector_state, tmp_path):
    mel_filters = detector_state["sed_model.logmel_extractor.melW"]
    for_48_khz = torch.zeros_like(mel_filters)
    for_48_khz[:299] = mel_filters[149:448]
    state = detector_state | {"sed_model.logmel_extractor.melW": for_48_khz}
    message = refuse(load_htsat, tmp_path / "a.ckpt", state)
    assert "end at bin 298, at 32000 Hz they end at 448: it was made for another rate" in message


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_a_detector_without_filters_is_refused(detector_state, tmp_path, dtype):
    name = "sed_model.logmel_extractor.melW"
    filters = torch.zeros_like(detector_state[name], dtype=dtype)
    message = refuse(load_htsat, tmp_path / "a.ckpt", detector_state | {name: filters})
    assert "melW" in message or "mel filters" in message


def test_other_files_are_named_by_load_detector(detector_state, tmp_path, official_checkpoint):
    inner = {f"at_model.{name}": tensor for name, tensor in detector_state.items()}
    message = refuse(load_htsat, tmp_path / "a.ckpt", inner)
    assert "a detector inside a training file of zero-shot separation (at_model.)" in message
    whole = inner | {"encoder_block1.conv_block.emb1.weight": torch.zeros(32, 2048)}
    message = refuse(load_htsat, tmp_path / "b.ckpt", whole)
    assert "the separator of zero-shot separation with a detector inside (at_model.)" in message
    clap = {"text_branch.embeddings.word_embeddings.weight": torch.zeros(3, 4)}
    assert "a LAION-CLAP" in refuse(load_htsat, tmp_path / "c.ckpt", clap)
    message = refuse(load_htsat, tmp_path / "d.ckpt", {"fc.weight": torch.zeros(2)})
    assert "an unknown network (1 tensors, first: fc.weight)" in message
    for path in (official_checkpoint, BUNDLED):
        with pytest.raises(CheckpointMismatch, match="a separator of AudioSep's kind"):
            load_htsat(path)


def test_a_detector_is_named_by_load_model(detector_file, detector_state, tmp_path):
    with pytest.raises(CheckpointMismatch, match=r"a detector .HTS-AT.: load_detector reads it"):
        load_model(detector_file)
    inner = {f"at_model.{name}": tensor for name, tensor in detector_state.items()}
    message = refuse(load_model, tmp_path / "a.ckpt", inner)
    assert "without the separator: take the detector's own file" in message


@pytest.mark.parametrize(
    "config",
    [
        '{"hop": 0}',
        '{"hop": -320}',
        '{"hop": 1}',
        '{"hop": 2048}',
        '{"rate_hz": 0}',
        '{"rate_hz": -3}',
        '{"rate_hz": 1000000000000}',
    ],
)
def test_load_model_refuses_senseless_settings_of_a_separator_by_examples(config, tmp_path):
    metadata = {"format": "separator/1", "config": config}
    save_file(golden_zs.make_small_unet().state_dict(), tmp_path / "asp.safetensors", metadata)
    with pytest.raises(CheckpointMismatch, match=r"another separator: \w+=-?\d+: must"):
        load_model(tmp_path / "asp.safetensors")


def test_pickled_classes_are_refused_by_name(detector_state, tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": detector_state, "hyper_parameters": Anything()}, path)
    with pytest.raises(CheckpointUnsafe, match=r"test_zero_shot_files\.Anything"):
        load_htsat(path)


def test_names_say_where_files_come_from_and_keep_their_hash(
    detector_file, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path))
    path = tmp_path / "htsat_audioset_2048d.ckpt"
    with pytest.raises(CheckpointMissing) as caught:
        load_htsat("stsed")
    for part in (path, "Google Drive folder linked in github.com/RetroCirce"):
        assert str(part) in str(caught.value)
    shutil.copy(detector_file, path)
    with caplog.at_level("INFO"):
        assert resolve("stsed") == path
    (stated,) = [record.getMessage() for record in caplog.records]
    assert "has sha256" in stated
    caplog.clear()
    with caplog.at_level("INFO"):
        assert load_htsat("stsed").net.config.num_classes == 527
    assert not caplog.records
    golden_zs.write_detector(path, golden_zs.make_small_detector(seed=1))
    with pytest.raises(ChecksumMismatch, match="not the file of its first use"):
        load_htsat("stsed")
    with pytest.raises(CheckpointMissing, match=r"HTSAT_AudioSet_Saved_1.ckpt"):
        load_htsat("htsat")
