"""Test files of our own that hold a separator and a copy of its detector."""

import json

import pytest
import torch

from separator import load_model
from separator.api import load_htsat
from separator.errors import CheckpointMismatch, ChecksumMismatch
from separator.model import registry
from separator.model.asp_unet import AspConfig, AspUnet
from separator.model.checkpoint import write_safetensors
from separator.model.resunet import NetworkConfig
from separator.model.tensors import read_tensors, write_tensors
from separator.model.zero_shot_files import pack_detector, read_detector, write_detector
from tests.helpers import golden_zs
from tests.helpers.checkpoints import make_net

LABELS = ["siren", "rain", "bell"]
SMALL = NetworkConfig(widths=(4, 4, 8, 8, 8, 8), condition_size=64)


@pytest.fixture(scope="module")
def detector():
    return golden_zs.make_small_detector(num_classes=3)


def same(one, other) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(tensor, states[1][name]) for name, tensor in states[0].items()
    )


@pytest.mark.parametrize("kind", ["unet", "resunet"])
def test_one_file_holds_separator_and_detector(detector, tmp_path, kind):
    net = golden_zs.make_small_unet() if kind == "unet" else make_net(SMALL)
    path = tmp_path / "mini.safetensors"
    sha256 = write_safetensors(net, path, None, encoder=pack_detector(detector, LABELS))
    model, found = load_model(path, device="cpu"), load_htsat(path)
    assert same(found.net, detector) and found.labels == tuple(LABELS)
    assert model.engine.config == net.config and model.checkpoint_sha256 == sha256
    # The copy leaves the separator's identity as it is.
    write_safetensors(net, tmp_path / "alone.safetensors", None)
    assert load_model(tmp_path / "alone.safetensors", device="cpu").checkpoint_sha256 == sha256
    (encoder_id,) = {model.encoder_id, pack_detector(detector, LABELS)[1]["encoder"]}
    assert encoder_id is not None and encoder_id.startswith("htsat:") and len(encoder_id) == 22


def test_a_detector_in_a_file_of_its_own_keeps_its_labels(detector, tmp_path):
    write_detector(tmp_path / "d.safetensors", detector, LABELS)
    net, labels = read_detector(tmp_path / "d.safetensors")
    assert same(net, detector) and labels == LABELS
    with pytest.raises(CheckpointMismatch, match="a detector"):
        load_model(tmp_path / "d.safetensors")


def test_a_detector_in_bf16_is_named_by_the_weights_in_the_file(detector, tmp_path):
    path = tmp_path / "half.safetensors"
    packed = pack_detector(detector, LABELS, torch.bfloat16)
    write_safetensors(golden_zs.make_small_unet(), path, None, torch.bfloat16, encoder=packed)
    net, _ = read_detector(path)
    assert net.norm.weight.dtype == torch.float32
    assert torch.equal(net.norm.weight, detector.norm.weight.bfloat16().float())
    assert packed[1]["encoder"] != pack_detector(detector, LABELS)[1]["encoder"]


def test_rates_of_a_small_unet_are_kept_and_enter_its_identity(tmp_path):
    net = AspUnet(AspConfig(n_fft=640, hop=160, condition_size=8, widths=(4,) * 7)).eval()
    path = tmp_path / "x.safetensors"
    sha256 = write_safetensors(net, path, None)
    model = load_model(path, device="cpu")
    assert (model.engine.config.hop, model.checkpoint_sha256) == (160, sha256)
    tensors, metadata = read_tensors(path)
    config = json.dumps(json.loads(metadata["config"]) | {"hop": 320})
    write_tensors(path, tensors, metadata | {"config": config})
    with pytest.raises(ChecksumMismatch):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": '["siren"]'}, "labels: must be a list of 3 texts"),
        ({"labels": "[1, 2, 3]"}, "labels: must be a list of 3 texts"),
        ({"labels": "{"}, "labels: not JSON"),
        ({"encoder": "htsat:0123456789abcdef"}, "take another copy"),
        ({"encoder": "clap:1"}, "no detector, but the separator of zero-shot separation"),
    ],
)
def test_a_wrong_copy_is_refused(detector, tmp_path, changes, message):
    path = tmp_path / "x.safetensors"
    write_safetensors(
        golden_zs.make_small_unet(), path, None, encoder=pack_detector(detector, LABELS)
    )
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, metadata | changes)
    with pytest.raises((CheckpointMismatch, ChecksumMismatch), match=message):
        load_htsat(path)


def test_a_copy_without_its_metadata_is_refused_as_what_else_the_file_holds(detector, tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(make_net(SMALL), path, None, encoder=pack_detector(detector, LABELS))
    write_tensors(path, read_tensors(path)[0], {"format": "pt"})
    with pytest.raises(CheckpointMismatch, match="no detector, but a separator of AudioSep's kind"):
        load_htsat(path)


def test_a_detector_of_times_is_refused_as_what_it_is():
    path = registry.resolve(registry.MINI_DETECTOR)
    with pytest.raises(CheckpointMismatch, match="no detector, but a network that only says when"):
        read_detector(path)
