"""Weights in files: read an official Lightning checkpoint or our safetensors, write safetensors.

It knows local paths and tensors; names and downloads are `registry.py` and `download.py`.
"""

import hashlib
import json
import math
import pickle
import re
import struct
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from separator.errors import (
    CheckpointError,
    CheckpointMismatch,
    CheckpointMissing,
    CheckpointTruncated,
    CheckpointUnsafe,
    ChecksumMismatch,
)
from separator.model.resunet import NetworkConfig, ResUNet
from separator.model.tensors import write_tensors

FORMAT = "separator/1"
NETWORK, ENCODER = "ss_model.", "query_encoder.model."
TEXT_SIDE = ("text_branch.", "text_projection.")
# A buffer of 0, 1, 2, ...; some transformers versions save it, some do not.
NOT_TEXT_SIDE = "text_branch.embeddings.position_ids"


@dataclass(frozen=True)
class Checkpoint:
    """A network ready to evaluate, and what tells it from every other.

    `encoder_id` names the text encoder it was trained with, None where the file does not tell.
    """

    net: ResUNet
    encoder_id: str | None
    sha256: str


class Ignored:
    """Takes the place of every object in a Lightning file that is none of our business."""

    def __init__(self, *args: object) -> None: ...
    def __setstate__(self, state: object) -> None: ...


# Lightning writes scores of callbacks (numpy) and paths beside the weights. The objects are never
# made, `Ignored` stands in for each: no code of numpy or pathlib runs on what the file says.
HARMLESS = ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"]
HARMLESS += ["pathlib.PosixPath", "pathlib.WindowsPath"]
# torch keeps the allowed names in one global set and removes ours after use.
SAFE_GLOBALS_LOCK = threading.Lock()
# All that torch's unpickler and zip reader raise on damaged bytes. They interpret them unchecked:
# a stack underflow is an IndexError, a bad argument a TypeError, a seek too far back an OSError.
DAMAGED = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError)
DAMAGED += (AttributeError, AssertionError, ArithmeticError, MemoryError, OSError, struct.error)


def read_checkpoint(path: Path) -> Checkpoint:
    """The network in a file, whatever its container, checked in full; evaluation mode, fp32."""
    tensors, metadata = read_tensors(path)
    encoder_id = _name_encoder(tensors, metadata)
    tensors = _select_network(path, tensors)
    net = _build(path, _read_config(path, tensors, metadata), tensors)
    sha256 = hash_weights(net.state_dict())
    recorded = metadata.get("sha256") if metadata else sha256
    if recorded != sha256:
        raise ChecksumMismatch(f"{path}: its weights hash to {sha256}, it says {recorded}")
    _check_finite(path, net.state_dict())
    return Checkpoint(net, encoder_id, sha256)


def read_encoder_id(path: Path) -> str | None:
    """The text encoder that a file names or holds; the file may hold no network."""
    return _name_encoder(*read_tensors(path))


def _name_encoder(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str | None:
    return metadata.get("encoder") or compute_encoder_id(_take(tensors, ENCODER))


def read_encoder_state(path: Path) -> dict[str, Tensor] | None:
    """The encoder's tensors in a file, or None; memory-mapped, so copy before writing to them."""
    return _take(read_tensors(path)[0], ENCODER) or None


def write_safetensors(
    net: ResUNet,
    path: Path,
    encoder_id: str | None,
    dtype: torch.dtype = torch.float32,
    source_sha256: str | None = None,
    encoder: tuple[Mapping[str, Tensor], Mapping[str, str]] = ({}, {}),
) -> str:
    """Write the network whole or not at all; returns its content hash. Same weights, same bytes.

    `encoder` holds tensors and metadata of an encoder that travels in the same file.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"dtype={dtype}: torch.float32 or torch.bfloat16")
    _check_finite(path, net.state_dict())
    tensors = {
        name: t.cpu().to(dtype if t.is_floating_point() else t.dtype).contiguous()
        for name, t in net.state_dict().items()
    }
    sha256 = hash_weights(tensors)
    metadata = {"config": json.dumps(asdict(net.config)), "format": FORMAT, "sha256": sha256}
    metadata |= {"encoder": encoder_id} if encoder_id else {}
    metadata |= {"source_sha256": source_sha256} if source_sha256 else {}
    write_tensors(path, tensors | dict(encoder[0]), metadata | dict(encoder[1]))
    return sha256


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """One identity for a network's fp32 values, whatever file they come from."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def compute_encoder_id(state: Mapping[str, Tensor]) -> str | None:
    """Name the text encoder whose tensors these are; None if there are none."""
    names = [n for n in sorted(state) if n.startswith(TEXT_SIDE) and n != NOT_TEXT_SIDE]
    if not names:
        return None
    digest = hashlib.sha256()
    for name in names:
        tensor = state[name].detach().cpu().float()
        digest.update(name.encode() + str(tuple(tensor.shape)).encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return f"clap:{digest.hexdigest()[:16]}"


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every named tensor of a file, memory-mapped where that is possible, and our metadata."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise CheckpointMissing(f"{path}: {error.strerror or error}") from None
    # First, because the length of its header may begin with the byte that a pickle begins with.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
        return _load_safetensors(path)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return _flatten(path, _load_pickled(path, mmap=head.startswith(b"PK"))), {}
    raise CheckpointTruncated(f"{path}: begins with {head!r}: neither torch's nor safetensors")


def _load_pickled(path: Path, mmap: bool) -> object:
    stand_ins = torch.serialization.safe_globals([(Ignored, name) for name in HARMLESS])
    try:
        with SAFE_GLOBALS_LOCK, stand_ins:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except DAMAGED as error:
        refused = _find_refused(path, str(error))
        if refused:
            raise CheckpointUnsafe(f"{path}: wants {refused} run to be read; refused") from None
        reason = str(error).strip().split("\n")[-1][:200]
        raise CheckpointTruncated(f"{path}: not whole, or not a checkpoint: {reason}") from None


def _find_refused(path: Path, message: str) -> str | None:
    """The name that torch would not resolve, if that is why it stopped."""
    found = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", message)
    with path.open("rb") as file:
        head = file.read(1 << 20)
    if found:
        # A file cut inside a name asks for its stump; a whole name ends its line.
        name = found[1].rpartition(".")[2]
        whole = head.startswith(b"PK") or (name and f"{name}\n".encode() in head)
        return found[1] if whole else None
    if "Unsupported operand" not in message:
        return None
    # torch reads pickle protocol 2 and stops at the first newer instruction, before any name: two
    # strings, and the instruction that makes a global of them.
    pairs = re.findall(rb"\x8c.([\w.]+)\x94?\x8c.([\w.]+)\x94?\x93", head, re.DOTALL)
    names = [f"{module.decode()}.{name.decode()}" for module, name in pairs]
    return next((n for n in names if not n.startswith(("torch.", "collections."))), None)


def _flatten(path: Path, content: object) -> dict[str, Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise CheckpointMismatch(f"{path}: holds a {type(content).__name__}, not a state dict")
    # Sparse, quantized and empty-shelled tensors are nobody's weights here.
    return {
        name: t
        for name, t in content.items()
        if isinstance(name, str) and isinstance(t, Tensor)
        if t.layout == torch.strided and t.device.type == "cpu" and not t.is_quantized
    }


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointTruncated(f"{path}: not whole, or not safetensors ({error})") from None
    if metadata.get("format", FORMAT) != FORMAT:
        raise CheckpointMismatch(f"{path}: format={metadata['format']!r}, known is {FORMAT!r}")
    return tensors, metadata if "format" in metadata else {}


def _take(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def _select_network(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's tensors under their bare names, without the constants of the STFT."""
    bare = {name: t for name, t in tensors.items() if not name.startswith("query_encoder.")}
    own = _take(tensors, NETWORK) or bare
    if not any(name.startswith(("base.", "film.")) for name in own):
        raise CheckpointMismatch(
            f"{path}: no separator in it: none of its {len(tensors)} tensors"
            f" {sorted(tensors)[:1]} is under base. or film., with or without {NETWORK!r}"
        )
    return {
        name: t for name, t in own.items() if not name.startswith(("base.stft.", "base.istft."))
    }


def _read_config(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> NetworkConfig:
    """Sizes come off the shapes (an absent one is reported later), the rest off our metadata."""
    default = NetworkConfig()

    def size(name: str, axis: int, otherwise: int) -> int:
        shape = tensors[name].shape if name in tensors else ()
        return shape[axis] if len(shape) > axis else otherwise

    film = "film.encoder_block1->conv_block1->beta1.weight"
    blocks = [f"base.encoder_block{i}.conv_block1.conv1.weight" for i in range(1, 7)]
    try:
        recorded = {"rate_hz": default.rate_hz, "hop": default.hop}
        recorded |= json.loads(metadata.get("config", "{}"))
        return NetworkConfig(
            rate_hz=int(recorded["rate_hz"]),
            hop=int(recorded["hop"]),
            n_fft=2 * (size("base.bn0.weight", 0, default.num_bins) - 1),
            condition_size=size(film, 1, default.condition_size),
            widths=tuple(size(n, 0, w) for n, w in zip(blocks, default.widths, strict=True)),
        )
    except (ValueError, TypeError) as error:
        raise CheckpointMismatch(f"{path}: makes no network: {error}") from None


def _build(path: Path, config: NetworkConfig, tensors: dict[str, Tensor]) -> ResUNet:
    # No storage and no random initial values until the file is known to fit.
    with torch.device("meta"):
        net = ResUNet(config)
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
    # Copied, so that the net outlives the file; contiguous, as a fresh net would be.
    state = {k: tensors[k].detach().clone().to(t.dtype).contiguous() for k, t in wanted.items()}
    net.load_state_dict(state, assign=True)
    return net.eval().requires_grad_(False)


def _describe(tensor: Tensor) -> str:
    """Any float is read as fp32, so only its kind and shape have to fit."""
    return f"{'float' if tensor.is_floating_point() else 'int'}{list(tensor.shape)}"


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    # The extremes are NaN or infinite if any value is; several times quicker than isfinite().all().
    bad = [n for n, t in state.items() if not all(math.isfinite(x) for x in t.aminmax())]
    if bad:
        raise CheckpointError(f"{path}: NaN or infinity in {len(bad)} tensors (first: {bad[0]})")
