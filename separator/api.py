"""Load models and separate sounds in a notebook: `load_model`, `Separator`, `load_detector`.

Stems are arrays of the same kind as the input; nothing here depends on rows or Ray.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from torch import Tensor

from separator.audio.arrays import as_rate, as_tensor
from separator.audio.exact import plain_torch
from separator.encoders.clip import ClipEncoder
from separator.encoders.encoder import TextEncoder
from separator.encoders.example_images import gather_images
from separator.encoders.example_sounds import gather_examples
from separator.encoders.lookup import (
    AUTO,
    check_detector,
    encode_texts,
    find_encoder,
    find_image_encoder,
    find_sound_encoder,
)
from separator.encoders.sound_encoder import SoundEncoder, encode_examples
from separator.errors import QueryError, RequestError
from separator.media.encode_settings import EncodeSettings
from separator.model import registry
from separator.model.detector import Detector
from separator.model.detectors import load_detector, load_htsat
from separator.model.engine import Engine
from separator.model.entry_points import (
    PACKAGE_PREFIX,
    Package,
    hash_package,
)
from separator.model.outside import OutsideEngine, OutsideTexts
from separator.model.track import TrackSeparator
from separator.model.zero_shot_files import read_separator
from separator.notebook.files import FileTask, StemFiles, list_examples, opened
from separator.notebook.stems import ArrayStems, TensorStems, name_array, name_queries, name_tensor
from separator.queries import Query, parse_queries
from separator.storage import Storage
from separator.storage.atomic import take_folder

__all__ = [
    "Detector", "Separator", "find_encoder", "load_detector", "load_htsat", "load_model",
]  # fmt: skip

log = logging.getLogger(__name__)

MAX_PEAK = 100.0  # louder samples are integers that were converted without scaling
QueryLike = str | Mapping[str, Any]
Queries = Sequence[QueryLike] | None


class Separator:
    """A loaded model. `checkpoint_sha256` identifies its weights, `encoder_id` its text encoder or
    its detector."""

    def __init__(
        self,
        engine: TrackSeparator,
        checkpoint_sha256: str,
        encoder_id: str | None,
        load_encoder: Callable[[], TextEncoder],
        load_sound_encoder: Callable[[], SoundEncoder],
        load_image_encoder: Callable[[], ClipEncoder],
        storage: Storage | None = None,
    ) -> None:
        self.engine = engine
        self.checkpoint_sha256 = checkpoint_sha256
        self.encoder_id = encoder_id
        self._storage = storage or Storage()
        self._load_encoder = load_encoder
        self._load_sound_encoder = load_sound_encoder
        self._load_image_encoder = load_image_encoder
        self._encoder: TextEncoder | None = None
        self._sound_encoder: SoundEncoder | None = None
        self._image_encoder: ClipEncoder | None = None

    @overload
    def separate(
        self, waveform: np.ndarray, rate_hz: int, queries: Queries = ..., *, conditions: Any = ...
    ) -> ArrayStems: ...

    @overload
    def separate(
        self, waveform: Tensor, rate_hz: int, queries: Queries = ..., *, conditions: Any = ...
    ) -> TensorStems: ...

    @plain_torch()
    def separate(
        self,
        waveform: np.ndarray | Tensor,
        rate_hz: int,
        queries: Queries = None,
        *,
        conditions: np.ndarray | Tensor | None = None,
    ) -> ArrayStems | TensorStems:
        """Separate one stem for each query; give either queries or conditions.

        Args:
            waveform: samples (C, T) in floating point, full scale 1.0; up to 64 channels.
            rate_hz: any whole number from 1000 to 192000.
            queries: texts, mappings such as {"name": "siren", "text": "an emergency siren"}, or
                example sounds: {"name": "bird", "audio": ["a.wav", "s3://b/birds/", pair]}, a
                list of files, folders, and pairs of samples (C, T) and rate. A model that was
                trained with CLIP also takes {"name": "dog", "image": "dog.jpg"} and
                {..., "video": ...}.
            conditions: embeddings (Q, D) of queries, for example from `encode`.

        Returns:
            Stems (Q, C, T) in float32 at the same rate, the same kind of array as `waveform` (a
            tensor on the same device). With `channels="mono"` C is 1. Stems hold no frequency
            above half the network's rate (16 kHz). They also have names (`stems["siren"]`),
            `stems.residual` and `stems.save(folder)`; in a notebook they show players.
        """
        if (queries is None) == (conditions is None):
            raise RequestError("give either queries=[...] or conditions=array, not both")
        if conditions is None:
            assert queries is not None
            conditions = self.encode(queries)
        samples = as_tensor(waveform, "waveform")
        conditions_QD = as_tensor(conditions, "conditions")
        stems = self.engine.separate(samples, as_rate(rate_hz), conditions_QD)
        warn_of_scale(samples)
        parsed = [] if queries is None else parse_queries(queries, with_samples=True)
        named = name_tensor if isinstance(waveform, Tensor) else name_array
        names = name_queries(queries, len(stems))
        return named(stems, names, samples, as_rate(rate_hz), list_examples(parsed))

    @plain_torch()
    def separate_file(
        self,
        path: str | Path,
        queries: str | Sequence[QueryLike],
        out: str | Path,
        *,
        tracks: Any = "all",
        format: str = "flac",
    ) -> StemFiles:
        """Separate a media file, and write a stem for each track and query into a folder.

        Memory does not grow with the length: the file is decoded and separated span by span.

        Args:
            path: video or audio, in a folder or on S3.
            queries: as in `separate`.
            out: the folder, made if missing. talk.mp4 gives talk.siren.flac, or, if several tracks
                are separated, talk.track-0.siren.flac and so on. Existing files are replaced.
            tracks: `all`, `default`, `first`, positions, or {"language": [...]}.
            format: flac or wav (24 bits), ogg, mp3, m4a.

        Returns:
            The written files with query, track and length; in a notebook they show players.
        """
        parsed = parse_queries(queries, with_samples=True)
        conditions_QD = self.encode(queries)
        settings = EncodeSettings(format)
        with opened(path, self._storage) as (local, name):
            kept = list_examples(parsed) | {local.resolve()}
            task = FileTask(local, name, take_folder(os.fspath(out)), tracks, settings, kept)
            return StemFiles(task.separate(self.engine, [q.name for q in parsed], conditions_QD))

    @plain_torch()
    def encode(self, queries: str | Sequence[QueryLike]) -> np.ndarray:
        """Return conditions (Q, D) of queries. Large text encoders (CLAP, CLIP) are loaded only
        for texts that are not in the cache on disk."""
        parsed = parse_queries(queries, with_samples=True)
        texts = [query.text for query in parsed if not query.files]
        conditions: dict[str, np.ndarray] = {}  # by text
        if texts:
            conditions_QD, warnings = encode_texts(texts, self.encoder_id, self.load_encoder)
            conditions = dict(zip(texts, conditions_QD, strict=True))
            for text, warning in warnings.items():
                log.warning("query %r: %s", text, warning)
        return np.stack([self._encode_files(q) if q.files else conditions[q.text] for q in parsed])

    def _encode_files(self, query: Query) -> np.ndarray:
        if query.audio:
            return self._encode_sounds(query)
        if self._image_encoder is None:
            self._image_encoder = self._load_image_encoder()
        return self._image_encoder.encode_images(gather_images(self._storage, query))

    def _encode_sounds(self, query: Query) -> np.ndarray:
        if self._sound_encoder is None:
            self._sound_encoder = self._load_sound_encoder()
        found = encode_examples(self._sound_encoder, gather_examples(self._storage, query))
        if found.warning:
            log.warning("query %r: %s", query.name, found.warning)
        return found.condition

    @plain_torch()
    def load_encoder(self) -> TextEncoder:
        """Load the text encoder once."""
        if self._encoder is None:
            self._encoder = self._load_encoder()
        return self._encoder


def warn_of_scale(samples_CT: Tensor) -> None:
    """Warn of floats that look like integers: models expect a full scale of 1.0."""
    if not samples_CT.numel():
        return
    low, high = (float(x) for x in samples_CT.detach().aminmax())
    if (peak := max(-low, high)) > MAX_PEAK:
        log.warning("samples reach %.3g: full scale is 1.0; divide 16-bit integers by 32768", peak)


@plain_torch()
def load_model(
    name: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",
    channels: str = "linked",
    context: str | float = "exact",
    memory_bytes: int | None = None,
    detector: str | Path = AUTO,
    storage: Storage | None = None,
) -> Separator:
    """Load a model onto a device.

    Args:
        name: a path, an `s3://` URI, or a published name such as `mini`, `audiosep` or
            `audiosep-hive`, which is downloaded once, or the name of a model that another
            installed package provides (docs/models.md). The separator of zero-shot separation
            (`zeroshot-asp`) takes example sounds only, no texts.
        device: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.
        precision: `fp32`, `bf16` (at least 35 dB SNR against fp32), or `auto`: bf16 if the device
            multiplies it natively.
        compile: `on` (takes about a minute at the first call), `off`, or `auto`: on a GPU, once
            there is enough work to repay that minute.
        channels: `linked` (default: separate the mean, apply its gain to every channel), `each`
            (separate every channel), or `mono` (stems of the mean, one channel).
        context: audio on both sides of a window: `exact` (default: the result does not depend on
            windows), seconds (fewer are faster and not exact), or `pieces`: each 2 s alone, as
            the official program of zero-shot separation does, for parity with its tables.
        memory_bytes: limit of one forward; None: 40 % of RAM or 60 % of the GPU's memory.
        detector: name, path or URI of the detector that turns example sounds into conditions for
            a zero-shot separator; `auto`: the copy in the separator's own file, else `stsed`.
        storage: access to `s3://` URIs, also those of example files, for example
            `Storage(StorageSettings(endpoint_url=...))` of separator.storage; None: use the
            credentials of the usual AWS environment.
    """
    if isinstance(name, str) and (package := registry.find_package(name)):
        return make_outside(name, package, device, precision, channels)
    storage = storage or Storage()
    path = registry.resolve(name, storage.fetch)
    checkpoint = read_separator(path)
    check_detector(path, checkpoint.encoder_id, detector)
    engine = Engine(
        checkpoint.net,
        device,
        precision,  # pyright: ignore[reportArgumentType] # checked by the engine, with its way out
        compile,  # pyright: ignore[reportArgumentType]
        channels,
        context,  # pyright: ignore[reportArgumentType]
        memory_bytes,
    )
    encoder_id, size = checkpoint.encoder_id, checkpoint.net.config.condition_size
    return Separator(
        engine,
        checkpoint.sha256,
        encoder_id,
        lambda: find_encoder(path, encoder_id),
        lambda: find_sound_encoder(
            path, encoder_id, size, detector, storage.fetch, str(engine.device)
        ),
        lambda: find_image_encoder(path, encoder_id),
        storage,
    )


def make_outside(
    name: str, package: Package, device: str, precision: str, channels: str
) -> Separator:
    """Load a model that another installed package provides."""
    engine = OutsideEngine(package, device, precision, channels)
    identity = hash_package(name, package)
    encoder_id = f"{PACKAGE_PREFIX}{identity[:16]}"

    def refuse() -> Any:
        raise QueryError(f"{name} reads texts, no example sounds or images")

    encoder = OutsideTexts(encoder_id, engine.model)
    return Separator(engine, identity, encoder_id, lambda: encoder, refuse, refuse)
