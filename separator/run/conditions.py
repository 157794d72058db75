"""Find out what the conditions of a run's queries depend on, and later compute them.

The first part reads weights only if their hash is not remembered from earlier, so that a run with
nothing to do loads no torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.encoders.example_sounds import decode_examples, describe_versions, list_examples
from separator.errors import QueryError
from separator.model import registry
from separator.model.identity import (
    ANY_DETECTOR,
    INNER,
    find_encoder_id,
    find_sha256,
    remember_sha256,
    stamp_file,
)
from separator.queries import Query
from separator.results.record import hash_content
from separator.storage import Entry, Storage

if TYPE_CHECKING:
    from separator.model.checkpoint import Checkpoint

Examples = Mapping[str, Sequence[Entry]]  # files by the name of a query


@dataclass
class Conditions:
    """Conditions (D,) and warnings, both by the key of a query."""

    by_key: dict[str, np.ndarray] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)


def list_all_examples(storage: Storage, queries: Iterable[Query]) -> Examples:
    """List the example sounds of the queries that have some."""
    return {query.name: list_examples(storage, query) for query in queries if query.files}


def give_versions(queries: Iterable[Query], examples: Examples, encoder_id: str) -> list[Query]:
    """Give queries of sounds and images a version that hashes what their conditions depend on."""

    def give(query: Query) -> Query:
        if not query.files:
            return query
        content: list[Any] = [encoder_id, describe_versions(examples[query.name])]
        if query.kind != "audio":  # versions of sounds hash no more, so that old ids stay valid
            content += [query.kind, query.at_s]
        return replace(query, version=hash_content(content))

    return [give(query) for query in queries]


def refuse_examples(name: str, examples: Examples) -> None:
    """Refuse example sounds for a model that reads texts only."""
    for query in examples:
        raise QueryError(f"query {query!r}: {name} reads texts only; give a text")


def name_sound_encoder(path: Path, detector: str, storage: Storage) -> str:
    """Return the id of the encoder of example sounds for the checkpoint at `path`."""
    encoder_id = find_encoder_id(path)
    if encoder_id is None:
        encoder_id = read_weights(path).encoder_id or ""
    if encoder_id != ANY_DETECTOR:
        return encoder_id  # the checkpoint fits no other encoder
    source = registry.resolve(registry.STSED if detector == "auto" else detector, storage.fetch)
    return find_sha256(source, INNER) or _hash_detector(source)


def _hash_detector(source: Path) -> str:
    from separator.model.zero_shot_files import compute_detector_id, read_detector

    stamp = stamp_file(source)
    detector_id = compute_detector_id(read_detector(source)[0].state_dict())
    remember_sha256(source, detector_id, stamp, part=INNER)
    return detector_id


def read_weights(path: Path) -> "Checkpoint":
    """Read a separator, and remember its identity."""
    from separator.model.zero_shot_files import read_separator

    stamp = stamp_file(path)
    checkpoint = read_separator(path)
    remember_sha256(path, checkpoint.sha256, stamp, checkpoint.encoder_id)
    return checkpoint


def encode_texts(path: Path, encoder_id: str | None, texts: list[str]) -> Conditions:
    from separator.encoders import lookup

    if not texts:
        return Conditions()
    rows_QD, warnings = lookup.encode_texts(
        texts, encoder_id, lambda: lookup.find_encoder(path, encoder_id)
    )
    return Conditions(dict(zip(texts, rows_QD, strict=True)), warnings)


def encode_sounds(
    path: Path,
    checkpoint: "Checkpoint",
    detector: str,
    storage: Storage,
    queries: Iterable[Query],
    examples: Examples,
) -> Conditions:
    """Fetch, decode and encode the sounds and images of all queries that have some."""
    from separator.encoders import lookup
    from separator.encoders.example_images import read_images
    from separator.encoders.sound_encoder import encode_examples

    lookup.check_detector(path, checkpoint.encoder_id, detector)
    encoded = Conditions()
    if seen := [query for query in queries if query.image or query.video]:
        looker = lookup.find_image_encoder(path, checkpoint.encoder_id)
        for query in seen:
            images = read_images(storage, query, examples[query.name])
            encoded.by_key[query.key] = looker.encode_images(images)
    if not (heard := [query for query in queries if query.audio]):
        return encoded
    size = checkpoint.net.config.condition_size
    encoder = lookup.find_sound_encoder(path, checkpoint.encoder_id, size, detector, storage.fetch)
    for query in heard:
        sounds = decode_examples(storage, query, examples[query.name])
        found = encode_examples(encoder, sounds)
        encoded.by_key[query.key] = found.condition
        if found.warning:
            encoded.warnings[query.key] = found.warning
    return encoded
