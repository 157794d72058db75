"""Cache conditions between runs by encoder and text, in one small safetensors file.

A cache that cannot be read or written never fails a run: its conditions are computed again.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from separator.encoders.encoder import CONDITION_SIZE, TextEncoder
from separator.errors import EncoderError
from separator.storage.atomic import write_whole

log = logging.getLogger(__name__)


def encode_cached(
    load_encoder: Callable[[], TextEncoder],
    encoder_id: str,
    texts: list[str],
    read: Callable[[], bytes | None],
    write: Callable[[bytes], None],
) -> np.ndarray:
    """Return conditions (Q, 512) of the texts; load the encoder only for those not in the cache.

    `read` and `write` get and put the whole cache file, like the methods of `FileCache`. If two
    runs write at once, the later one wins; the other one's conditions are computed again.
    """
    names = [name_entry(encoder_id, text) for text in texts]
    entries = unpack(read())
    new = {name: text for name, text in zip(names, texts, strict=True) if name not in entries}
    if new:
        encoder = load_encoder()
        if encoder.encoder_id != encoder_id:
            raise EncoderError(
                f"encoder_id={encoder_id!r} is expected, but {encoder.encoder_id!r} was loaded; "
                "take both from the same weights"
            )
        conditions_QD = encoder.encode_texts(list(new.values()))
        if conditions_QD.shape != (len(new), CONDITION_SIZE) or conditions_QD.dtype != np.float32:
            raise EncoderError(
                f"{encoder_id} returned {conditions_QD.dtype} {conditions_QD.shape} for {len(new)} "
                f"texts, but float32 {(len(new), CONDITION_SIZE)} is needed; use another encoder"
            )
        for (name, text), condition_D in zip(new.items(), conditions_QD, strict=True):
            label = json.dumps({"encoder": encoder_id, "text": text}, ensure_ascii=False)
            entries[name] = (label, condition_D)
        write(pack(entries))
    if not names:
        return np.empty((0, CONDITION_SIZE), np.float32)
    return np.stack([entries[name][1] for name in names])


def name_entry(encoder_id: str, text: str) -> str:
    return hashlib.sha256(f"{encoder_id}\0{text}".encode()).hexdigest()


def pack(entries: dict[str, tuple[str, np.ndarray]]) -> bytes:
    """Write {name: (label, condition)} as safetensors; a label names the encoder and the text."""
    conditions = {name: np.ascontiguousarray(entry[1]) for name, entry in entries.items()}
    return save(conditions, {name: entry[0] for name, entry in entries.items()})


def unpack(data: bytes | None) -> dict[str, tuple[str, np.ndarray]]:
    """Read what `pack` wrote; if it is damaged, warn and return nothing."""
    if data is None:
        return {}
    try:
        conditions = load(data)
        labels = _read_labels(data)
        entries = {name: (labels[name], conditions[name]) for name in conditions}
        for name, (label, condition_D) in entries.items():
            _check_entry(name, label, condition_D)
    # TypeError: JSON of another shape; KeyError: an unlabelled tensor, or a dtype numpy lacks;
    # RecursionError: JSON nested too deeply.
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("the condition cache is damaged and will be replaced: %r", error)
        return {}
    return entries


def _read_labels(data: bytes) -> dict[str, str]:
    # safetensors reads metadata from files only, not from bytes.
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])["__metadata__"]


def _check_entry(name: str, label: str, condition_D: np.ndarray) -> None:
    labelled = json.loads(label)
    if name != name_entry(labelled["encoder"], labelled["text"]):
        raise ValueError(f"{name} is labelled {label}")
    if condition_D.shape != (CONDITION_SIZE,) or condition_D.dtype != np.float32:
        raise ValueError(f"{name} is {condition_D.dtype} {condition_D.shape}")
    if not np.isfinite(condition_D).all():
        raise ValueError(f"{name} is not finite")


class FileCache:
    """Keep the cache in a local file; a file that cannot be used is a warning, not an error."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def read(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the condition cache cannot be read: %s", error)
            return None

    def write(self, data: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, data)
        except OSError as error:
            log.warning("the condition cache cannot be written: %s", error)
