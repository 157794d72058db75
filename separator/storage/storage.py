"""Read, list and write objects by URI, the same for local files and S3.

An object is read as it was listed, or not at all; a written object appears whole, or not at all.
Every failure is a `StorageError` of one line.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from separator.errors import ObjectChanged, ObjectMissing, StorageBusy, StorageError
from separator.storage.local import LocalStore
from separator.storage.patterns import find_folders, make_selector
from separator.storage.s3_settings import StorageSettings
from separator.storage.uri import Entry, Place, parse_uri

BLOCK_BYTES = 1 << 20
# `read` holds its answer in memory.
MAX_READ_BYTES = 1 << 30


class Store(Protocol):
    """The operations that each URI scheme implements."""

    def list(self, place: Place, recursive: bool) -> Iterator[Entry]: ...
    def stat(self, place: Place) -> Entry: ...
    def fetch(self, place: Place, path: Path, expected: Entry) -> None: ...
    def read(self, place: Place) -> bytes: ...
    def read_versioned(self, place: Place) -> tuple[bytes, str]: ...
    def write(self, place: Place, blocks: Iterable[bytes], if_absent: bool) -> None: ...
    def replace(self, place: Place, data: bytes, version: str) -> None: ...
    def delete(self, place: Place) -> None: ...
    def clear(self, place: Place) -> None: ...


class Storage:
    """Access objects by URI. Cheap to make and to send to another process, because connections are
    made on first use."""

    def __init__(self, settings: StorageSettings | None = None) -> None:
        self.settings = settings or StorageSettings()

    def list(
        self,
        uri: str,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        recursive: bool = True,
        with_errors: bool = False,
    ) -> Iterator[Entry]:
        """Yield the objects of a folder, or the one object of that name, whatever the patterns say.
        Folders that no pattern can match are not listed.

        A file or folder that cannot be looked at raises its error, or with `with_errors` is yielded
        with the error; a pattern of `exclude` leaves it out.
        """
        store, place = self._find(uri)
        is_wanted, is_allowed = make_selector(include, exclude), make_selector((), exclude)
        root = place.key.rstrip("/") + "/" if place.key.strip("/") else place.key
        for entry in self._walk(store, place, root, find_folders(include), recursive):
            key = parse_uri(entry.uri).key
            name = key.removeprefix(root) if key.startswith(root) else key.rpartition("/")[2]
            if key == place.key:
                is_chosen = True
            elif entry.error is None or entry.etag:
                is_chosen = is_wanted(name)
            else:  # the entry may be a folder: a pattern that excludes its files excludes it
                is_chosen = is_allowed(name) and is_allowed(f"{name}/x")
            if is_chosen:
                if entry.error is not None and not with_errors:
                    raise entry.error
                yield entry

    def _walk(
        self, store: Store, place: Place, root: str, folders: Sequence[str], recursive: bool
    ) -> Iterator[Entry]:
        if folders == [""] or not recursive:
            yield from store.list(place, recursive)
            return
        first = next(store.list(place, recursive=False), None)  # raises for a missing root
        if first is not None and parse_uri(first.uri).key == place.key:
            yield first
            return
        for folder in folders:
            with contextlib.suppress(ObjectMissing):  # such as the folder of a day to come
                yield from store.list(Place(place.bucket, root + folder), recursive)

    def stat(self, uri: str) -> Entry:
        store, place = self._find(uri)
        return store.stat(place)

    def exists(self, uri: str) -> bool:
        try:
            self.stat(uri)
        except ObjectMissing:
            return False
        return True

    def fetch(self, uri: str, path: Path, expected: Entry | None = None) -> Entry:
        """Copy an object (its version `expected`, or the current one) to a local file."""
        store, place = self._find(uri)
        expected = expected or store.stat(place)
        try:
            store.fetch(place, path, expected)
            if path.stat().st_size != expected.num_bytes:
                raise StorageError(
                    f"{uri}: {path.stat().st_size:,} bytes arrived of {expected.num_bytes:,}"
                )
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return expected

    @contextmanager
    def on_disk(self, entry: Entry, folder: Path) -> Iterator[Path]:
        """Yield a local path: the file itself, or a copy in `folder` that is removed afterwards."""
        store, place = self._find(entry.uri)
        if isinstance(store, LocalStore):
            with _listed(entry):
                store.check(place, entry)
            yield place.path
            with _listed(entry):
                store.check(place, entry)
            return
        path = folder / ("object" + Path(place.key).suffix[:16])
        try:
            with _listed(entry):
                self.fetch(entry.uri, path, entry)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def read(self, uri: str) -> bytes:
        """Read all of a small object."""
        store, place = self._find(uri)
        if (num_bytes := store.stat(place).num_bytes) > MAX_READ_BYTES:
            raise StorageError(
                f"{uri}: {num_bytes:,} bytes; at most {MAX_READ_BYTES:,} are read into memory"
            )
        data = store.read(place)
        # If another writer replaced it after `stat`, the length is that of the new object.
        if len(data) != num_bytes and len(data) != (num_bytes := store.stat(place).num_bytes):
            raise StorageBusy(f"{place.shown}: {len(data):,} bytes arrived of {num_bytes:,}")
        return data

    def write(self, uri: str, data: bytes | Iterable[bytes], *, if_absent: bool = False) -> None:
        """Write bytes, or a stream of blocks. With `if_absent`, raise ObjectExists if the object
        exists, as far as the store can tell."""
        store, place = self._find(uri)
        store.write(place, [data] if isinstance(data, bytes) else data, if_absent)

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        """Read a small object with an opaque version, for `replace`."""
        store, place = self._find(uri)
        return store.read_versioned(place)

    def replace(self, uri: str, data: bytes, version: str) -> None:
        """Write an object whose version is still the given one; raise ObjectChanged otherwise.

        Of several writers with the same version one wins, also across processes and machines. Only
        writers of the same bytes may all be told that they won.
        """
        store, place = self._find(uri)
        store.replace(place, data, version)

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        with path.open("rb") as file:
            blocks = iter(lambda: file.read(BLOCK_BYTES), b"")
            self.write(uri, blocks, if_absent=if_absent)

    def delete(self, uri: str) -> None:
        """Delete an object; do nothing if there is none."""
        store, place = self._find(uri)
        store.delete(place)

    def clear(self, uri: str) -> None:
        """Delete a folder with all its objects."""
        store, place = self._find(uri)
        store.clear(place)

    def _find(self, uri: str) -> tuple[Store, Place]:
        place = parse_uri(uri)
        if not place.bucket:
            return LocalStore(self.settings.conditional_writes), place
        from separator.storage.s3 import S3Store  # imported here, because boto3 takes 0.3 s

        return S3Store(self.settings), place


@contextmanager
def _listed(entry: Entry) -> Iterator[None]:
    """Report an object that is gone since it was listed as changed: it may come back."""
    try:
        yield
    except ObjectMissing:
        raise ObjectChanged(
            f"{parse_uri(entry.uri).shown}: gone since it was listed; the next run looks again"
        ) from None
