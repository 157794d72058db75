"""Refuse an output that cannot be written, before any work is done."""

import uuid

from separator.errors import RequestError
from separator.results.paths import STEMS, Layout
from separator.storage import Storage, join_uri, parse_uri


def refuse_files(storage: Storage, layout: Layout) -> None:
    """Refuse a local output if a file or a link to nothing has the name of a folder that it needs.
    Object stores have no folders."""
    root = layout.root_uri
    place = parse_uri(root)
    if place.bucket:
        return
    above = map(str, reversed(place.path.parents))
    for uri in (*above, root, join_uri(root, STEMS), layout.manifest(), layout.runs()):
        if storage.exists(uri):  # false for a folder
            raise RequestError(
                f"output.uri={root!r}: {uri} is a file, where a folder has to be; move it away or"
                " choose another output.uri"
            )
        path = parse_uri(uri).path
        if path.is_symlink() and not path.exists():
            raise RequestError(
                f"output.uri={root!r}: {uri} is a link to nothing; mount the disk that it leads to,"
                " or choose another output.uri"
            )


def try_writing(storage: Storage, folder_uri: str) -> None:
    """Write a small object into a folder, list it and delete it; storage raises an error if it
    cannot."""
    probe_uri = join_uri(folder_uri, f".check-{uuid.uuid4().hex}")
    storage.write(probe_uri, b"separator check\n")
    try:
        list(storage.list(probe_uri))
    finally:
        storage.delete(probe_uri)
