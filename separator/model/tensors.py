"""Write named tensors into one safetensors file: whole or not at all, always the same bytes."""

import json
import struct
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from separator.storage.atomic import write_whole


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
