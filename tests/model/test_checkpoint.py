"""Test that every container gives the same network and hash."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from separator.model import registry
from separator.model.checkpoint import (
    compute_encoder_id,
    hash_weights,
    read_encoder_state,
    write_safetensors,
)
from separator.model.resunet import NetworkConfig, ResUNet
from separator.model.zero_shot_files import read_separator
from tests.helpers import golden
from tests.helpers.checkpoints import ENCODER, SMALL, make_net, write_lightning


def test_read_separator_of_official_file(official_checkpoint: Path) -> None:
    checkpoint = read_separator(official_checkpoint)
    assert checkpoint.net.config == NetworkConfig()
    assert checkpoint.encoder_id is None
    assert not checkpoint.net.training
    assert not any(p.requires_grad for p in checkpoint.net.parameters())
    state, wanted = checkpoint.net.state_dict(), golden.make_state_dict()
    assert state.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_read_separator_hash_does_not_depend_on_container(
    files: dict[str, Path], net: ResUNet, kind: str
) -> None:
    checkpoint = read_separator(files[kind])
    assert checkpoint.net.config == SMALL
    assert checkpoint.sha256 == hash_weights(net.state_dict())
    for name, tensor in net.state_dict().items():
        assert torch.equal(checkpoint.net.state_dict()[name], tensor), name


def test_hash_weights_detects_smallest_change(net: ResUNet) -> None:
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    before = hash_weights(state)
    weight = state["base.after_conv.bias"]
    weight[0] = torch.nextafter(weight[0], torch.tensor(9.0))
    assert hash_weights(state) != before


def test_identity_of_a_network_holds_rate_and_hop(tmp_path: Path) -> None:
    """The same weights at another rate or hop give other stems, and so are another checkpoint."""
    net, found = make_net(), {}
    for settings in ({}, {"hop": 160}, {"rate_hz": 16_000}, {"rate_hz": 16_000, "hop": 160}):
        net.config = replace(SMALL, **settings)
        path = tmp_path / f"{len(found)}.safetensors"
        sha256 = write_safetensors(net, path, None)
        assert read_separator(path).sha256 == sha256
        found[sha256] = settings
    assert len(found) == 4
    assert found[hash_weights(net.state_dict())] == {}  # the default enters as it always did


def test_identity_of_published_networks_is_the_hash_of_their_weights(official_checkpoint) -> None:
    """Outputs made before rate and hop entered stay done."""
    for path in (official_checkpoint, registry.BUNDLED):
        checkpoint = read_separator(path)
        assert checkpoint.sha256 == hash_weights(checkpoint.net.state_dict())


def test_read_separator_of_older_file_with_other_hop(tmp_path: Path) -> None:
    """Such a file records the hash of its weights alone; it is whole, and has a new identity."""
    config, weights_sha256 = replace(SMALL, hop=160), hash_weights(make_net().state_dict())
    metadata = {"format": "separator/1", "config": json.dumps(asdict(config))}
    save_file(make_net().state_dict(), tmp_path / "x", metadata | {"sha256": weights_sha256})
    checkpoint = read_separator(tmp_path / "x")
    assert checkpoint.net.config == config
    assert checkpoint.sha256 != weights_sha256


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        NetworkConfig(n_fft=1024, condition_size=16, widths=(3, 4, 5, 6, 7, 8)),
        NetworkConfig(rate_hz=16_000, hop=160, n_fft=1024, widths=(4,) * 6),
    ],
)
def test_read_separator_infers_sizes_from_shapes(tmp_path: Path, config: NetworkConfig) -> None:
    net = make_net(config)
    write_safetensors(net, tmp_path / "x.safetensors", None)
    assert read_separator(tmp_path / "x.safetensors").net.config == config
    # Without our metadata rate and hop are the defaults.
    torch.save(net.state_dict(), tmp_path / "x.pt")
    found = read_separator(tmp_path / "x.pt").net.config
    assert (found.rate_hz, found.hop) == (32_000, 320)
    assert (found.n_fft, found.condition_size) == (config.n_fft, config.condition_size)
    assert found.widths == config.widths


def test_write_safetensors_in_bf16(tmp_path: Path, net: ResUNet) -> None:
    path = tmp_path / "x.safetensors"
    sha256 = write_safetensors(net, path, "clap:1", torch.bfloat16)
    checkpoint = read_separator(path)
    assert load_file(path)["base.after_conv.weight"].dtype == torch.bfloat16
    assert checkpoint.sha256 == sha256 != hash_weights(net.state_dict())
    assert checkpoint.encoder_id == "clap:1"
    for name, tensor in net.state_dict().items():
        found = checkpoint.net.state_dict()[name]
        assert found.dtype == tensor.dtype
        if tensor.is_floating_point():
            assert ((found - tensor).abs() <= tensor.abs() * 2**-8).all(), name
        else:
            assert torch.equal(found, tensor)


def test_write_safetensors_gives_equal_bytes(tmp_path: Path, net: ResUNet) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(net, path, "clap:1", source_sha256="ab")
    before = path.read_bytes()
    for _ in range(4):
        write_safetensors(net, path, "clap:1", source_sha256="ab")
        assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    with pytest.raises(ValueError, match="float16"):
        write_safetensors(net, path, None, torch.float16)


def test_read_separator_ignores_lightning_extras(tmp_path: Path, net: ResUNet) -> None:
    path, before = tmp_path / "x.ckpt", set(torch.serialization.get_safe_globals())
    write_lightning(
        net,
        path,
        callbacks={"best": np.float64(0.5), "path": Path("a/b.ckpt")},
        optimizer_states=[{"state": {0: {"exp_avg": torch.zeros(4)}}}],
    )
    assert read_separator(path).sha256 == hash_weights(net.state_dict())
    assert set(torch.serialization.get_safe_globals()) == before


def test_read_encoder_state_and_id(files: dict[str, Path], tmp_path: Path, net: ResUNet) -> None:
    for kind in ("zip", "legacy"):
        state = read_encoder_state(files[kind])
        assert state is not None and state.keys() == ENCODER.keys()
        assert all(torch.equal(state[name], ENCODER[name]) for name in ENCODER)
        assert read_separator(files[kind]).encoder_id == compute_encoder_id(ENCODER)
    assert read_separator(files["safetensors"]).encoder_id == "clap:1"
    assert read_encoder_state(files["safetensors"]) is None
    prefixed = {f"query_encoder.model.{name}": tensor for name, tensor in ENCODER.items()}
    save_file(prefixed, tmp_path / "e.safetensors")
    state = read_encoder_state(tmp_path / "e.safetensors")
    assert state is not None and state.keys() == ENCODER.keys()


def test_compute_encoder_id_uses_text_side_only() -> None:
    # Written out once with hashlib and struct alone, for the other implementation to agree with.
    assert compute_encoder_id(ENCODER) == "clap:462cb7a272c4d90e"
    extra = {"text_branch.embeddings.position_ids": torch.arange(5)}
    other_audio = {"audio_branch.bn0.weight": torch.zeros(3)}
    assert compute_encoder_id(ENCODER | extra | other_audio) == compute_encoder_id(ENCODER)
    half = {name: tensor.half() for name, tensor in ENCODER.items()}
    assert compute_encoder_id(half) == compute_encoder_id(ENCODER)
    changed = {"text_projection.0.bias": torch.tensor([0.5, -1.5])}
    assert compute_encoder_id(ENCODER | changed) != compute_encoder_id(ENCODER)
    assert compute_encoder_id(other_audio) is None


def test_read_separator_does_not_depend_on_file_afterwards(
    files: dict[str, Path], tmp_path: Path
) -> None:
    for kind, file in files.items():
        path = tmp_path / kind
        path.write_bytes(file.read_bytes())
        checkpoint = read_separator(path)
        path.write_bytes(b"\xff" * path.stat().st_size)
        assert hash_weights(checkpoint.net.state_dict()) == checkpoint.sha256
