"""Read a network and its identity from a file of any container, and write safetensors.

`tensors.py` opens containers; `registry.py` knows names and downloads.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from separator.errors import CheckpointError, CheckpointMismatch, ChecksumMismatch
from separator.model.contents import describe
from separator.model.networks import Config, Network
from separator.model.resunet import NetworkConfig, ResUNet
from separator.model.tensors import (
    FORMAT,
    cast_floats,
    read_json,
    read_tensors,
    take_prefixed,
    write_tensors,
)

NETWORK, ENCODER = "ss_model.", "query_encoder.model."
DETECTOR = "sed_model."
TEXT_SIDE = ("text_branch.", "text_projection.")
# A buffer of 0, 1, 2, ... that some versions of transformers save.
NOT_TEXT_SIDE = "text_branch.embeddings.position_ids"
# (rate_hz, n_fft, hop) of published checkpoints: the identity of these networks is the hash of the
# weights alone, so that work items made with them stay done.
PUBLISHED_SETTINGS = {(32_000, 2048, 320), (32_000, 1280, 640)}


Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Checkpoint(Generic[Net]):
    """A network ready to evaluate, and its identity.

    `encoder_id` names the text encoder or the detector it was trained with; None if the file does
    not say.
    """

    net: Net
    encoder_id: str | None
    sha256: str


def make_checkpoint(
    path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str]
) -> Checkpoint[ResUNet]:
    """Build and check AudioSep's network from the tensors and metadata of a file; it is in
    evaluation mode and fp32."""
    encoder_id = _name_encoder(tensors, metadata)
    tensors = _select_network(path, tensors)
    net = _build(path, _read_config(path, tensors, metadata), tensors)
    return Checkpoint(net, encoder_id, check_identity(path, net, metadata))


def check_identity(path: Path, net: Network, metadata: Mapping[str, str]) -> str:
    """Return the identity of a network; raise if it is not the one that its file records."""
    weights_sha256 = hash_weights(net.state_dict())
    sha256 = identify(net.config, weights_sha256)
    recorded = metadata.get("sha256") if metadata else sha256
    if recorded not in (sha256, weights_sha256):  # older files record the hash of the weights
        raise ChecksumMismatch(
            f"{path}: its weights and settings hash to {sha256}, metadata says {recorded}"
        )
    return sha256


def identify(config: Config, weights_sha256: str) -> str:
    """Return the identity of a network: the hash of all that changes its stems.

    The shapes of the weights show all sizes, but not the rate and the hop.
    """
    if (config.rate_hz, config.n_fft, config.hop) in PUBLISHED_SETTINGS:
        return weights_sha256
    settings = f"{weights_sha256} rate_hz={config.rate_hz} hop={config.hop}"
    return hashlib.sha256(settings.encode()).hexdigest()


def read_encoder_id(path: Path) -> str | None:
    """Read the id of the text encoder that a file names or holds; it may hold no network."""
    return _name_encoder(*read_tensors(path))


def _name_encoder(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str | None:
    return metadata.get("encoder") or compute_encoder_id(take_prefixed(tensors, ENCODER))


def read_encoder_state(path: Path) -> dict[str, Tensor] | None:
    """Read the encoder's tensors in a file, or None; memory-mapped, so copy before writing."""
    return take_prefixed(read_tensors(path)[0], ENCODER) or None


def write_safetensors(
    net: Network,
    path: Path,
    encoder_id: str | None,
    dtype: torch.dtype = torch.float32,
    source_sha256: str | None = None,
    encoder: tuple[Mapping[str, Tensor], Mapping[str, str]] = ({}, {}),
) -> str:
    """Write the network whole or not at all and return its content hash. Same weights, same bytes.

    `encoder` holds tensors and metadata of an encoder to store in the same file: what `pack_mini`
    or `pack_detector` returns.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"dtype={dtype}: torch.float32 or torch.bfloat16")
    check_finite(path, net.state_dict())
    tensors = cast_floats(net.state_dict(), dtype)
    sha256 = identify(net.config, hash_weights(tensors))
    metadata = {"config": json.dumps(asdict(net.config)), "format": FORMAT, "sha256": sha256}
    metadata |= {"encoder": encoder_id} if encoder_id else {}
    metadata |= {"source_sha256": source_sha256} if source_sha256 else {}
    write_tensors(path, tensors | dict(encoder[0]), metadata | dict(encoder[1]))
    return sha256


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """Hash a network's fp32 values, independent of the file they come from."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def compute_encoder_id(state: Mapping[str, Tensor]) -> str | None:
    """Compute the id of the text encoder with these tensors; None if there are none."""
    names = [n for n in sorted(state) if n.startswith(TEXT_SIDE) and n != NOT_TEXT_SIDE]
    if not names:
        return None
    digest = hashlib.sha256()
    for name in names:
        tensor = state[name].detach().cpu().float()
        digest.update(name.encode() + str(tuple(tensor.shape)).encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return f"clap:{digest.hexdigest()[:16]}"


def _select_network(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Select the network's tensors, without the prefix and the constants of the STFT."""
    bare = {n: t for n, t in tensors.items() if not n.startswith(("query_encoder.", DETECTOR))}
    own = take_prefixed(tensors, NETWORK) or bare
    if not any(name.startswith(("base.", "film.")) for name in own):
        if kind := describe(tensors):
            raise CheckpointMismatch(f"{path}: holds no separator of AudioSep's kind, but {kind}")
        raise CheckpointMismatch(
            f"{path}: holds no separator: none of its {len(tensors)} tensors"
            f" {sorted(tensors)[:1]} begins with base. or film., with or without {NETWORK!r}"
        )
    return {
        name: t for name, t in own.items() if not name.startswith(("base.stft.", "base.istft."))
    }


def _read_config(
    path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str]
) -> NetworkConfig:
    """Read sizes from the tensors' shapes (absent ones are reported later), rates from metadata."""
    default = NetworkConfig()

    def size(name: str, axis: int, otherwise: int) -> int:
        shape = tensors[name].shape if name in tensors else ()
        return shape[axis] if len(shape) > axis else otherwise

    film = "film.encoder_block1->conv_block1->beta1.weight"
    blocks = [f"base.encoder_block{i}.conv_block1.conv1.weight" for i in range(1, 7)]
    rates = read_rates(path, metadata, default)
    try:
        return NetworkConfig(
            **rates,
            n_fft=2 * (size("base.bn0.weight", 0, default.num_bins) - 1),
            condition_size=size(film, 1, default.condition_size),
            widths=tuple(size(n, 0, w) for n, w in zip(blocks, default.widths, strict=True)),
        )
    except ValueError as error:
        raise CheckpointMismatch(f"{path}: these sizes make no network: {error}") from None


def read_rates(path: Path, metadata: Mapping[str, str], default: Config) -> dict[str, int]:
    """Read `rate_hz` and `hop`, which have no trace in the tensors, from a file's metadata."""
    recorded = read_json(path, metadata, "config", "{}")
    if not isinstance(recorded, dict):
        raise CheckpointMismatch(f"{path}: config={recorded!r}: must be an object"[:300])
    rates = {key: recorded.get(key, getattr(default, key)) for key in ("rate_hz", "hop")}
    if wrong := [f"{key}={value!r}" for key, value in rates.items() if type(value) is not int]:
        raise CheckpointMismatch(f"{path}: config: {wrong[0]}: must be a whole number"[:300])
    return rates


def _build(path: Path, config: NetworkConfig, tensors: dict[str, Tensor]) -> ResUNet:
    # On `meta`: no memory and no random values for a network that may not fit the file.
    with torch.device("meta"):
        net = ResUNet(config)
    assign_weights(path, net, tensors)
    return net


def assign_weights(path: Path, net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load the weights of a file, which must fit exactly, into a network on `meta`."""
    wanted = net.state_dict()
    lists = {
        "missing": sorted(wanted.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - wanted.keys()),
        "misshaped": [
            f"{name} {_describe(tensors[name])} for {_describe(wanted[name])}"
            for name in sorted(wanted.keys() & tensors.keys())
            if _describe(tensors[name]) != _describe(wanted[name])
        ],
    }
    found = [f"{len(names)} {what} (first: {names[0]})" for what, names in lists.items() if names]
    if found:
        raise CheckpointMismatch(f"{path}: weights of another network: {', '.join(found)}")
    # Copied: the network must outlive the file. Contiguous, like a new network.
    state = {k: tensors[k].detach().clone().to(t.dtype).contiguous() for k, t in wanted.items()}
    check_finite(path, state)
    net.load_state_dict(state, assign=True)
    net.eval().requires_grad_(False)


def _describe(tensor: Tensor) -> str:
    """Describe a tensor's kind and shape, which must fit; any float is read as fp32."""
    return f"{'float' if tensor.is_floating_point() else 'int'}{list(tensor.shape)}"


def check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    # The extremes are NaN or infinite if any value is; several times faster than isfinite().all().
    bad = [n for n, t in state.items() if not all(math.isfinite(x) for x in t.aminmax())]
    if bad:
        raise CheckpointError(f"{path}: NaN or infinity in {len(bad)} tensors (first: {bad[0]})")
