"""Offer the API for notebooks: `load_model`, `load_detector`. Tie network, engine and queries.

Arrays in, arrays of the same kind out; this module knows no rows, tracks or Ray.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor

from separator.audio.arrays import as_rate, as_tensor
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
    read_encoder_state,
)
from separator.model.detector import Detector
from separator.model.engine import Engine
from separator.model.zero_shot_files import read_detector, read_labels, read_separator
from separator.queries import parse_queries
from separator.storage import Storage

log = logging.getLogger(__name__)

UNKNOWN = "the mini model knows none of its words; its stem will be silent"

Array = TypeVar("Array", np.ndarray, Tensor)
QueryLike = str | Mapping[str, str]


class Separator:
    """A loaded model. `checkpoint_sha256` identifies its weights, `encoder_id` its text encoder."""

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
        *,
        conditions: np.ndarray | Tensor | None = None,
    ) -> Array:
        """Separate one stem for each query; give either queries or conditions.

        Args:
            waveform: samples (C, T) in floating point, full scale 1.0; up to 64 channels.
            rate_hz: any whole number from 1000 to 192000.
            queries: texts, or mappings such as {"name": "siren", "text": "an emergency siren"}.
            conditions: embeddings (Q, D) of queries, for example from `encode`.

        Returns:
            Stems (Q, C, T) in float32 at the same rate, the same kind of array as `waveform` (a
            tensor on the same device). With `channels="mono"` C is 1. Stems hold no frequency
            above half the network's rate (16 kHz).
        """
        if (queries is None) == (conditions is None):
            raise RequestError("give either queries=[...] or conditions=array, not both")
        if conditions is None:
            assert queries is not None
            conditions = self.encode(queries)
        samples = as_tensor(waveform, "waveform")
        conditions_QD = as_tensor(conditions, "conditions")
        stems = self.engine.separate(samples, as_rate(rate_hz), conditions_QD)
        if isinstance(waveform, Tensor):
            return stems.to(waveform.device)
        return stems.numpy()

    def encode(self, queries: Sequence[QueryLike]) -> np.ndarray:
        """Return conditions (Q, D). They are cached on disk; new texts load the encoder."""
        texts = [query.text for query in parse_queries(queries)]
        conditions_QD, warnings = encode_texts(texts, self.encoder_id, self.load_encoder)
        for text, warning in warnings.items():
            log.warning("query %r: %s", text, warning)
        return conditions_QD

    def load_encoder(self) -> TextEncoder:
        """Load the text encoder once."""
        if self._encoder is None:
            self._encoder = self._load_encoder()
        return self._encoder


def load_model(
    name: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",
    channels: str = "linked",
    context: str | float = "exact",
    memory_bytes: int | None = None,
    fetch_uri: Callable[[str, Path], object] | None = None,
) -> Separator:
    """Load a model onto a device.

    Args:
        name: a path, an `s3://` URI, or a published name such as `mini`, `audiosep` or
            `audiosep-hive`, which is downloaded once. The separator of zero-shot separation
            (`zeroshot-asp`) takes conditions only, from `encoders.latent.encode_sounds`.
        device: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.
        precision: `fp32`, `bf16` (at least 35 dB SNR against fp32), or `auto`: bf16 if the device
            multiplies it natively.
        compile: `on` (about a minute at the first call), `off`, or `auto`: on a GPU, once the
            announced work pays for it.
        channels: `linked` (default: separate the mean, apply its gain to every channel), `each`
            (separate every channel), or `mono` (stems of the mean, one channel).
        context: audio on both sides of a window: `exact` (default: the result does not depend on
            windows), or seconds; fewer are faster and not exact.
        memory_bytes: limit of one forward; None: 40 % of RAM or 60 % of the GPU's memory.
        fetch_uri: `fetch_uri(uri, path)` copies an S3 object to a local path; None: with the
            credentials of the usual AWS environment.
    """
    path = registry.resolve(name, fetch_uri or Storage().fetch)
    checkpoint = read_separator(path)
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


def load_detector(
    name: str | Path,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    fetch_uri: Callable[[str, Path], object] | None = None,
) -> Detector:
    """Load a detector, which says when each of its classes sounds: `detect(waveform, rate_hz)`.

    Args:
        name: a path, an `s3://` URI, or `stsed` or `htsat`, whose files are put into the folder of
            downloads by hand.
        device: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.
        precision: `fp32`, `bf16`, or `auto`: bf16 if the device multiplies it natively.
        fetch_uri: as in `load_model`.
    """
    net = read_detector(registry.resolve(name, fetch_uri or Storage().fetch))
    return Detector(
        net,
        read_labels(net.config.num_classes),
        device,
        precision,  # pyright: ignore[reportArgumentType] # checked by the detector
    )


def encode_texts(
    texts: list[str], encoder_id: str | None, load_encoder: Callable[[], TextEncoder]
) -> tuple[np.ndarray, dict[str, str]]:
    """Encode texts to conditions (Q, D); also return warnings by text, for unknown words."""
    if encoder_id is None:
        raise EncoderMissing("this checkpoint names no text encoder; give conditions=array")
    if mini.is_mini(encoder_id):  # faster than a cache
        encoder = load_encoder()
        assert isinstance(encoder, mini.MiniEncoder)
        warnings = dict.fromkeys(encoder.list_unknown(texts), UNKNOWN)
        return encoder.encode_texts(texts), warnings
    cache = FileCache(registry.home() / "conditions.safetensors")
    return encode_cached(load_encoder, encoder_id, texts, cache.read, cache.write), {}


def find_encoder(path: Path, encoder_id: str | None) -> TextEncoder:
    """Load the text encoder of a checkpoint: the copy inside, else the LAION-CLAP file."""
    if mini.is_mini(encoder_id):
        return check_encoder(path, mini.read_mini(path), encoder_id)
    if (state := read_clap_state(path)) is None:
        raise EncoderMissing(
            f"{path.name} was trained with the text encoder {encoder_id!r} and holds no copy of "
            f"it: put {registry.CLAP_FILE} (from {registry.CLAP_URI}) at {find_clap_file()}"
        )
    return check_encoder(path, load_clap(state), encoder_id)


def find_audio_encoder(path: Path, encoder_id: str | None) -> AudioEncoder | None:
    """Load the audio side of the checkpoint's encoder; None, with a warning, if it is missing."""
    if mini.is_mini(encoder_id):
        return mini.read_mini(path)
    try:
        state = read_clap_state(path)
        if state is None or compute_encoder_id(state) != encoder_id:
            log.warning("similarity stays empty: no copy of the encoder %s found", encoder_id)
            return None
        return read_clap_audio(state)
    except CheckpointError as error:
        log.warning("similarity stays empty: %s", error)
        return None


def read_clap_state(path: Path) -> dict[str, Tensor] | None:
    """Read the encoder's tensors from the checkpoint, else from the LAION-CLAP file."""
    state = read_encoder_state(path)
    if state is None and find_clap_file().exists():
        return read_clap_file(find_clap_file())
    return state


def find_clap_file() -> Path:
    """Return the path at which the LAION-CLAP file is expected."""
    return registry.home() / registry.CLAP_FILE


def check_encoder(path: Path, encoder: TextEncoder, encoder_id: str | None) -> TextEncoder:
    """Return the encoder if it is the one the checkpoint was trained with."""
    if encoder.encoder_id != encoder_id:
        way_out = f"put the matching file at {find_clap_file()}"
        if mini.is_mini(encoder_id):  # which only the checkpoint itself holds
            way_out = "the file is damaged, take another copy"
        raise EncoderMissing(
            f"{path.name} needs the text encoder {encoder_id!r}, found {encoder.encoder_id}: "
            f"{way_out}"
        )
    return encoder
