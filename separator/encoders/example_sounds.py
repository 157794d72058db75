"""Find the example sounds of queries, and decode them: from files and folders to mono samples.

Neither torch nor a network is loaded here: a run that finds nothing to do only looks at versions.

Shapes: C channels, T samples.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from separator.errors import (
    MediaError,
    NoAudio,
    ObjectMissing,
    QueryError,
    RateError,
    SeparatorError,
    StorageError,
)
from separator.media.choose import choose_tracks
from separator.media.decode import decode, output_rate
from separator.media.formats import list_media_patterns
from separator.media.limits import Limits
from separator.media.probe import probe
from separator.queries import MAX_SOUNDS, Query
from separator.storage import Entry, Storage, parse_uri
from separator.storage.patterns import make_selector
from separator.storage.temporary import temporary_folder

log = logging.getLogger(__name__)

LONGEST_S = 600.0  # of a sound; the rest of it is not used
MAX_BYTES = 4 << 30  # of a file
IMAGE_PATTERNS = [f"*.{end}" for end in ("jpg", "jpeg", "png", "webp", "bmp")]
WANTED = {
    "audio": "example sounds: the folder holds no media file",
    "image": "images: the folder holds no file of their kind",
    "video": "videos: the folder holds no media file",
}


@dataclass(frozen=True)
class ExampleSound:
    """One example sound. `name` is for messages."""

    name: str
    samples: Any  # (C, T), an array, or a tensor from a notebook
    rate_hz: int


def list_examples(storage: Storage, query: Query) -> list[Entry]:
    """List the files of a query's example sounds in the order of their URIs, each once."""
    found: dict[str, Entry] = {}
    for uri in query.files:
        with named(query):
            entries = _list_media(storage, uri, query.kind)
        found |= {entry.uri: entry for entry in entries}
    if len(found) > MAX_SOUNDS:
        raise QueryError(
            f"query {query.name!r}: {len(found)} example sounds, at most {MAX_SOUNDS:,} are "
            "allowed; a few that are alike do better than many"
        )
    return [found[uri] for uri in sorted(found)]


def _list_media(storage: Storage, uri: str, kind: str) -> list[Entry]:
    """List one file, or the media files or images of a folder."""
    patterns = IMAGE_PATTERNS if kind == "image" else list_media_patterns()
    own_uri = parse_uri(uri).uri.rstrip("/")
    root, is_media = f"{own_uri}/", make_selector(patterns, ())
    entries = list(storage.list(uri))
    if [entry.uri for entry in entries] == [own_uri]:
        return entries  # a file that is named directly may have any ending
    if not entries and parse_uri(uri).bucket:  # S3 knows no empty folders
        raise ObjectMissing(f"{uri}: nothing lies there")
    media = [entry for entry in entries if is_media(entry.uri.removeprefix(root))]
    if not media:
        raise QueryError(f"{uri}: no {WANTED[kind]} ({len(entries)} others)")
    return media


def describe_versions(entries: Iterable[Entry]) -> list[list[Any]]:
    """List each file's ETag and size, which enter the ids of work items; its URI does not."""
    return [[entry.etag, entry.num_bytes] for entry in entries]


def decode_examples(
    storage: Storage, query: Query, entries: Sequence[Entry], limits: Limits | None = None
) -> Iterator[ExampleSound]:
    """Decode the files of a query, one after the other."""
    for entry in entries:
        with named(query, entry.uri):
            sound = decode_example(storage, entry, limits)
        yield replace(sound, name=f"query {query.name!r}: {sound.name}")


def decode_example(storage: Storage, entry: Entry, limits: Limits | None = None) -> ExampleSound:
    """Decode the default track of a file of any container, with its channels averaged; use only the
    first ten minutes."""
    if entry.num_bytes > MAX_BYTES:
        raise QueryError(
            f"{entry.num_bytes:,} bytes; an example sound has at most {MAX_BYTES:,}: cut it out"
        )
    with temporary_folder() as folder, storage.on_disk(entry, folder) as path:
        media = probe(path, limits)
        track = choose_tracks(media.tracks, "default")[0]
        if not track.rate_hz:
            raise NoAudio(f"track {track.index} ({track.codec}) has no sample rate")
        rate_hz, blocks, num_samples = output_rate(track), [], 0
        most_samples = round(LONGEST_S * rate_hz)
        with contextlib.closing(decode(path, media, track, limits)) as decoded:
            for block_CT in decoded:
                blocks.append(block_CT.mean(0, dtype=np.float64).astype(np.float32))
                num_samples += block_CT.shape[1]
                if num_samples > most_samples:
                    log.warning("%s: only its first %g s are an example", entry.uri, LONGEST_S)
                    break
    mono_T = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return ExampleSound(entry.uri, mono_T[None, :most_samples], rate_hz)


def gather_examples(storage: Storage, query: Query) -> Iterator[ExampleSound]:
    """Yield the sounds of a notebook's query: samples as they are, and decoded files, each once."""
    number, seen = 0, set[str]()
    for sound in query.audio:
        if isinstance(sound, str):
            found = list_examples(storage, Query(query.name, audio=(sound,)))
            entries = [entry for entry in found if entry.uri not in seen]
            seen |= {entry.uri for entry in entries}
            yield from decode_examples(storage, query, entries)
            number += len(entries)
        else:
            number += 1
            yield ExampleSound(f"query {query.name!r}: example sound {number}", *sound)


@contextlib.contextmanager
def named(query: Query, uri: str = "") -> Iterator[None]:
    """Put the query, and the file if given, before the message of an error."""
    try:
        yield
    except (StorageError, MediaError, QueryError, RateError) as error:
        about = f"query {query.name!r}: {uri}: " if uri else f"query {query.name!r}: "
        kind: type[SeparatorError] = type(error)
        raise kind(f"{about}{error}") from None
