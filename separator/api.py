"""What a person in a notebook uses: `load_model` and `Separator`. Ties network, engine and queries.

Arrays in, arrays of the same kind out; nothing here knows rows, tracks or Ray.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from separator.encoders import mini
from separator.encoders.cache import FileCache, encode_cached
from separator.encoders.clap import load_clap, read_clap_file
from separator.encoders.clap_audio import read_clap_audio
from separator.encoders.encoder import TextEncoder
from separator.encoders.similarity import AudioEncoder
from separator.errors import CheckpointError, EncoderMissing, RequestError
from separator.model import registry
from separator.model.checkpoint import (
    Checkpoint,
    compute_encoder_id,
    read_checkpoint,
    read_encoder_state,
)
from separator.model.engine import Engine
from separator.queries import parse_queries
from separator.storage import Storage

log = logging.getLogger(__name__)

UNKNOWN = "the mini model knows none of its words; expect silence"

Array = TypeVar("Array", np.ndarray, Tensor)
QueryLike = str | Mapping[str, str]


class Separator:
    """A loaded model: `separate` for arrays, `encode` for the conditions of queries."""

    def __init__(
        self, engine: Engine, checkpoint: Checkpoint, load_encoder: Callable[[], TextEncoder]
    ) -> None:
        self.engine = engine
        self.checkpoint_sha256 = checkpoint.sha256
        self.encoder_id = checkpoint.encoder_id
        self._load_encoder = load_encoder
        self._encoder: TextEncoder | None = None

    def separate(
        self,
        waveform: Array,
        rate_hz: int,
        queries: Sequence[QueryLike] | None = None,
        conditions: np.ndarray | Tensor | None = None,
    ) -> Array:
        """(C, T) at any rate from 8 to 192 kHz -> stems (Q, C, T), float32, same rate and length.

        Give either queries (texts) or their conditions (Q, D). With the channel policy `mono` the
        stems have one channel. A stem holds nothing above 16 kHz: that is left in the residual.
        """
        if (queries is None) == (conditions is None):
            raise RequestError("give either queries=[...] or conditions=array, not both")
        if conditions is None:
            assert queries is not None
            conditions = self.encode(queries)
        samples = as_tensor(waveform, "waveform")
        stems = self.engine.separate(samples, rate_hz, as_tensor(conditions, "conditions"))
        if isinstance(waveform, Tensor):
            return stems.to(waveform.device)
        return stems.numpy()

    def encode(self, queries: Sequence[QueryLike]) -> np.ndarray:
        """Conditions (Q, D) of texts; remembered on disk, so the encoder is loaded when new."""
        texts = [query.text for query in parse_queries(queries)]
        conditions_QD, warnings = encode_texts(texts, self.encoder_id, self.load_encoder)
        for text, warning in warnings.items():
            log.warning("query %r: %s", text, warning)
        return conditions_QD

    def load_encoder(self) -> TextEncoder:
        if self._encoder is None:
            self._encoder = self._load_encoder()
        return self._encoder


def load_model(
    name: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    compile: str = "auto",
    channels: str = "linked",
    context: str | float = "exact",
    memory_bytes: int | None = None,
    fetch_uri: Callable[[str, Path], object] | None = None,
) -> Separator:
    """A model by path, `s3://` URI or name (`audiosep`, ...).

    `fetch_uri(uri, path)` gets what lies on S3; by default with the usual AWS environment.
    """
    path = registry.resolve(name, fetch_uri or Storage().fetch)
    checkpoint = read_checkpoint(path)
    engine = Engine(
        checkpoint.net,
        device,
        precision,  # pyright: ignore[reportArgumentType] # checked by the engine, with its way out
        compile,  # pyright: ignore[reportArgumentType]
        channels,
        context,  # pyright: ignore[reportArgumentType]
        memory_bytes,
    )
    return Separator(engine, checkpoint, lambda: find_encoder(path, checkpoint.encoder_id))


def encode_texts(
    texts: list[str], encoder_id: str | None, load_encoder: Callable[[], TextEncoder]
) -> tuple[np.ndarray, dict[str, str]]:
    """Conditions (Q, D), and by text what to know of those that may mean nothing to the model."""
    if encoder_id is None:
        raise EncoderMissing("this checkpoint names no text encoder; give conditions=array")
    if mini.is_mini(encoder_id):  # quicker than a cache
        encoder = load_encoder()
        assert isinstance(encoder, mini.MiniEncoder)
        warnings = dict.fromkeys(encoder.list_unknown(texts), UNKNOWN)
        return encoder.encode_texts(texts), warnings
    cache = FileCache(registry.home() / "conditions.safetensors")
    return encode_cached(load_encoder, encoder_id, texts, cache.read, cache.write), {}


def find_encoder(path: Path, encoder_id: str | None) -> TextEncoder:
    """The text encoder a checkpoint was trained with: its own copy, else the LAION-CLAP file."""
    if mini.is_mini(encoder_id):
        return check_encoder(path, mini.read_mini(path), encoder_id)
    if (state := read_clap_state(path)) is None:
        raise EncoderMissing(
            f"{path.name} was trained with the text encoder {encoder_id} and holds no copy of "
            f"it: put {registry.CLAP_FILE} (from {registry.CLAP_URI}) at {find_clap_file()}"
        )
    return check_encoder(path, load_clap(state), encoder_id)


def find_audio_encoder(path: Path, encoder_id: str | None) -> AudioEncoder | None:
    """The same encoder's audio side, if it is at hand: conditions may come from a cache."""
    if mini.is_mini(encoder_id):
        return mini.read_mini(path)
    try:
        state = read_clap_state(path)
        if state is None or compute_encoder_id(state) != encoder_id:
            log.warning("no encoder %s to listen to stems with: similarity stays empty", encoder_id)
            return None
        return read_clap_audio(state)
    except CheckpointError as error:
        log.warning("similarity stays empty: %s", error)
        return None


def read_clap_state(path: Path) -> dict[str, Tensor] | None:
    state = read_encoder_state(path)
    if state is None and find_clap_file().exists():
        return read_clap_file(find_clap_file())
    return state


def find_clap_file() -> Path:
    return registry.home() / registry.CLAP_FILE


def check_encoder(path: Path, encoder: TextEncoder, encoder_id: str | None) -> TextEncoder:
    if encoder.encoder_id != encoder_id:
        raise EncoderMissing(
            f"{path.name} needs the text encoder {encoder_id}, found {encoder.encoder_id}: "
            "its conditions would mean something else"
        )
    return encoder


def as_tensor(values: np.ndarray | Tensor, what: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    if isinstance(values, np.ndarray):
        # Copied when read-only: torch would warn of a tensor that could write to it.
        return torch.from_numpy(values if values.flags.writeable else values.copy())
    raise RequestError(f"{what} is a {type(values).__name__}: a numpy array or tensor is needed")
