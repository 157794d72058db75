"""Named tensors into one safetensors file: whole or not at all, and the same bytes every time."""

import json
import struct
import uuid
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from separator.model.fetch import move_into_place


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(sort_metadata(save(tensors, metadata)))
        move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sort_metadata(blob: bytes) -> bytes:
    """safetensors writes its metadata in random order; sorted, equal weights are equal files."""
    num_bytes = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + num_bytes])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + blob[8 + num_bytes :]
