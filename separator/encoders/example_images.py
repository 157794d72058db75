"""Read the images of queries, and frames of their videos. Neither torch nor a network is loaded."""

from collections.abc import Iterator, Sequence

import numpy as np

from separator.encoders.example_sounds import list_examples, named
from separator.media.frames import read_frames
from separator.media.limits import Limits
from separator.queries import Query
from separator.storage import Entry, Storage
from separator.storage.temporary import temporary_folder


def read_images(
    storage: Storage, query: Query, entries: Sequence[Entry], limits: Limits | None = None
) -> Iterator[np.ndarray]:
    """Read the images (H, W, 3) of a query, one file after the other."""
    for entry in entries:
        with named(query, entry.uri):
            images = read_file(storage, entry, query.at_s, limits)
        yield from images


def read_file(
    storage: Storage, entry: Entry, at_s: float | None = None, limits: Limits | None = None
) -> list[np.ndarray]:
    """Read one image, or the frames of one video."""
    with temporary_folder() as folder, storage.on_disk(entry, folder) as path:
        return read_frames(path, limits, at_s)


def gather_images(storage: Storage, query: Query) -> Iterator[np.ndarray]:
    """Read the images of a query from a notebook."""
    yield from read_images(storage, query, list_examples(storage, query))
