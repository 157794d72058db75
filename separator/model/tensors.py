"""Read named tensors from a file of any container, and write them into safetensors.

Files are not trusted: no code in a file runs, and every defect raises a `CheckpointError`. A file
is written whole or not at all, and equal tensors give equal bytes.
"""

import json
import pickle
import re
import struct
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from separator.errors import (
    CheckpointMismatch,
    CheckpointMissing,
    CheckpointTruncated,
    CheckpointUnsafe,
)
from separator.storage.atomic import write_whole

FORMAT = "separator/1"
OWN = "separator/"  # begins the format of every version; transformers writes "pt"


class Ignored:
    """Stand in for every object in a Lightning file that is not a tensor."""

    def __init__(self, *args: object) -> None: ...
    def __setstate__(self, state: object) -> None: ...


# Lightning writes scores of callbacks (numpy) and paths beside the weights. `Ignored` stands in for
# each of these objects, so no code of numpy or pathlib runs on the file's contents.
HARMLESS = ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"]
HARMLESS += ["pathlib.PosixPath", "pathlib.WindowsPath"]
# torch keeps allowed names in one global set, and removes ours after use: one thread at a time.
SAFE_GLOBALS_LOCK = threading.Lock()
# Everything that torch's unpickler and zip reader raise on damaged bytes, which they do not check:
# a stack underflow is an IndexError, a bad argument a TypeError, a seek too far back an OSError.
DAMAGED = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError)
DAMAGED += (AttributeError, AssertionError, ArithmeticError, MemoryError, OSError, struct.error)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read every named tensor of a file, memory-mapped if possible, and our metadata."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise CheckpointMissing(f"{path}: {error.strerror or error}") from None
    # safetensors first: the length of its header may begin with the first byte of a pickle.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
        return _load_safetensors(path)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return _flatten(path, _load_pickled(path, mmap=head.startswith(b"PK"))), {}
    raise CheckpointTruncated(f"{path}: begins with {head!r}: neither torch's nor safetensors")


def _load_pickled(path: Path, mmap: bool) -> object:
    refuse_compressed(path)
    stand_ins = torch.serialization.safe_globals([(Ignored, name) for name in HARMLESS])
    try:
        with SAFE_GLOBALS_LOCK, stand_ins:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except DAMAGED as error:
        refused = _find_refused(path, str(error))
        if refused:
            raise CheckpointUnsafe(
                f"{path}: reading it would run {refused}; refused: "
                "take a file of the state dict alone"
            ) from None
        reason = str(error).strip().split("\n")[-1][:200]
        raise CheckpointTruncated(f"{path}: not whole, or not a checkpoint: {reason}") from None


def refuse_compressed(path: Path) -> None:
    """Refuse an archive whose tensors or pickle are compressed: torch never writes one and cannot
    map it into memory, and the pickle of a small file could unpack to any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if "/code/" not in e.filename]  # TorchScript's
    except (zipfile.BadZipFile, *DAMAGED):
        return  # no zip, or a damaged one: torch tells which
    if any(entry.compress_type for entry in entries):
        raise CheckpointTruncated(
            f"{path}: a zip archive with compressed contents, which torch does not write: take the "
            "original file"
        )


def _find_refused(path: Path, message: str) -> str | None:
    """Return the name that torch refused to resolve, if that is why it stopped."""
    found = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", message)
    with path.open("rb") as file:
        head = file.read(1 << 20)
    if found:
        # In a file cut inside a name, the rest of the name is missing; a whole name ends its line.
        name = found[1].rpartition(".")[2]
        whole = head.startswith(b"PK") or (name and f"{name}\n".encode() in head)
        return found[1] if whole else None
    if "Unsupported operand" not in message:
        return None
    # torch reads pickle protocol 2 and stops at the first newer instruction, before any name. In
    # newer protocols two strings and an instruction make a global.
    pairs = re.findall(rb"\x8c.([\w.]+)\x94?\x8c.([\w.]+)\x94?\x93", head, re.DOTALL)
    names = [f"{module.decode()}.{name.decode()}" for module, name in pairs]
    return next((n for n in names if not n.startswith(("torch.", "collections."))), None)


def _flatten(path: Path, content: object) -> dict[str, Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise CheckpointMismatch(f"{path}: holds a {type(content).__name__}, not a state dict")
    # Sparse, quantized and meta tensors are not weights of this network; nor is a tensor that
    # repeats its storage: a small file could claim any amount of memory.
    tensors = {
        name: t
        for name, t in content.items()
        if isinstance(name, str) and isinstance(t, Tensor)
        if t.layout == torch.strided and t.device.type == "cpu" and not t.is_quantized
        if t.numel() * t.element_size() <= t.untyped_storage().nbytes()
    }
    folders = [name for name, value in content.items() if isinstance(value, dict) and value]
    if folders and not tensors:
        raise CheckpointMismatch(
            f"{path}: holds no tensors at its top or under 'state_dict', but {folders}: save the "
            "state dict among these alone"[:300]
        )
    return tensors


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointTruncated(f"{path}: not whole, or not safetensors ({error})") from None
    found = metadata.get("format", "")
    if not found.startswith(OWN):
        return tensors, {}
    if found != FORMAT:
        raise CheckpointMismatch(f"{path}: format={found!r}: must be {FORMAT!r}")
    return tensors, metadata


def read_json(path: Path, metadata: Mapping[str, str], key: str, otherwise: str) -> Any:
    """Read a key of the metadata as JSON, in which NaN and infinity are no numbers."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(metadata.get(key, otherwise), parse_constant=refuse)
    except RecursionError:
        raise CheckpointMismatch(f"{path}: {key}: nested too deeply") from None
    except ValueError as error:
        raise CheckpointMismatch(f"{path}: {key}: not JSON: {error}") from None


def read_texts(path: Path, metadata: Mapping[str, str], key: str, count: int) -> list[str]:
    """Read a key of the metadata as a list of this many texts."""
    texts = read_json(path, metadata, key, "[]")
    is_list = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    if not is_list or len(texts) != count:
        raise CheckpointMismatch(f"{path}: {key}: must be a list of {count} texts")
    return texts


def take_prefixed(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the tensors whose names begin with a prefix, under their names without it."""
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def cast_floats(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Copy tensors to the CPU to be written, the floating ones in another type."""
    return {
        name: t.detach().cpu().to(dtype if t.is_floating_point() else t.dtype).contiguous()
        for name, t in state.items()
    }


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write the file under its name only when it is complete."""
    write_whole(path, sort_metadata(save(tensors, metadata)))


def sort_metadata(blob: bytes) -> bytes:
    """Sort the metadata, which safetensors writes in random order: equal weights, equal files."""
    num_bytes = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + num_bytes])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + blob[8 + num_bytes :]
