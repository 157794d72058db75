"""Read, list and write local files as objects."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO

from separator.errors import (
    AccessDenied,
    DiskFull,
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    StorageBusy,
    StorageError,
)
from separator.storage.atomic import replacing, sync_folder, temporary_beside, write_synced
from separator.storage.uri import (
    EPOCH,
    Entry,
    Place,
    is_within,
    name_file,
    parse_uri,
    show_uri,
)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
MISSING = (errno.ENOENT, errno.ENOTDIR)
MAX_CLEARS = 100  # of one folder that others are writing into
UNREACHABLE = (errno.ELOOP, errno.ENAMETOOLONG)  # a link to itself, say
# Errors of file systems without hard links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raise the errors of the operating system as StorageErrors."""
    try:
        yield
    except OSError as error:
        raise explain(error, uri) from None


def explain(error: OSError, uri: str) -> StorageError:
    reason = error.strerror or str(error)
    if error.errno in FULL:
        return DiskFull(f"{uri}: {reason}; make room, or choose another disk (TMPDIR, output.uri)")
    if error.errno in DENIED:
        return AccessDenied(f"{uri}: {reason}")
    if error.errno in MISSING:
        return ObjectMissing(f"{uri}: no such file")
    if error.errno in UNREACHABLE:
        return ObjectMissing(f"{uri}: {reason}")
    return StorageError(f"{uri}: {reason}")


class LocalStore:
    def __init__(self, conditional_writes: bool = True) -> None:
        """`conditional_writes`: false for file systems without file locks."""
        self.conditional_writes = conditional_writes

    def list(self, place: Place, recursive: bool) -> Iterator[Entry]:
        """Yield the files, sorted by name within each folder. A file or folder that cannot be
        looked at, for lack of permission for instance, is yielded with its error."""
        with explained(place.shown):
            if not place.path.is_dir():
                yield self.stat(place)
                return
            yield from _Walk(recursive).list(place.key.rstrip("/") or "/")

    def stat(self, place: Place) -> Entry:
        with explained(place.shown):
            found = place.path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ObjectMissing(f"{place.shown}: is a folder")
        if not stat.S_ISREG(found.st_mode):
            raise ObjectMissing(f"{place.shown}: is a device or a pipe, not a file")
        if found.st_dev in _find_system_devices():
            raise ObjectMissing(f"{place.shown}: belongs to the operating system, not to a library")
        return _make_entry(place.key, found)

    def fetch(self, place: Place, path: Path, expected: Entry) -> None:
        with explained(place.shown):
            shutil.copyfile(place.path, path)
        self.check(place, expected)

    def check(self, place: Place, expected: Entry) -> None:
        """Raise ObjectChanged if the file is not the one that was listed, AccessDenied if it may
        not be read: a program that opens it later could not tell this apart from damage."""
        if (now := self.stat(place)).etag != expected.etag:
            raise ObjectChanged(
                f"{place.shown}: changed while it was read ({expected.num_bytes:,} bytes, now "
                f"{now.num_bytes:,}); the next run reads it"
            )
        with explained(place.shown), place.path.open("rb"):
            pass

    def read(self, place: Place) -> bytes:
        with explained(place.shown):
            return place.path.read_bytes()

    def write(self, place: Place, blocks: Iterable[bytes], if_absent: bool) -> None:
        with explained(place.shown):
            _make_parent(place.path)
            if if_absent:
                _write_new(place, blocks)
                return
            with replacing(place.path) as temporary:
                write_synced(temporary, blocks)

    def read_versioned(self, place: Place) -> tuple[bytes, str]:
        data = self.read(place)
        return data, _hash(data)

    def replace(self, place: Place, data: bytes, version: str) -> None:
        """Compare and rename under a lock on the file, which the kernel frees if we die."""
        try:
            is_replaced = self._try_replace(place, data, version)
        except ObjectMissing:
            is_replaced = False
        if not is_replaced:
            raise ObjectChanged(f"{place.shown}: another process wrote it meanwhile")

    def _try_replace(self, place: Place, data: bytes, version: str) -> bool:
        # NFS locks only files that are open for writing.
        with explained(place.shown), place.path.open("r+b") as file:
            if self.conditional_writes and not _try_lock(file, place.shown):
                return False
            # Another process may have renamed its file to this path before the lock was taken.
            if not os.path.samestat(os.fstat(file.fileno()), place.path.stat()):
                return False
            if _hash(file.read()) != version:
                return False
            with replacing(place.path) as temporary:
                write_synced(temporary, [data])
            return True

    def delete(self, place: Place) -> None:
        with explained(place.shown):
            place.path.unlink(missing_ok=True)

    def clear(self, place: Place) -> None:
        with explained(place.shown):
            for _ in range(MAX_CLEARS):
                try:
                    shutil.rmtree(place.path)
                    return
                except FileNotFoundError:  # the folder is gone, or another writer renamed a file
                    if not place.path.exists():
                        return
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY:  # another writer made a file
                        raise
        raise StorageBusy(f"{place.shown}: others wrote into it at each of {MAX_CLEARS} tries")


def leads_into(uri: str, folder_uri: str) -> bool:
    """Tell whether a place is within a folder, by its name or after following local links."""
    return is_within(uri, folder_uri) or is_within(_follow(uri), _follow(folder_uri))


def _follow(uri: str) -> str:
    place = parse_uri(uri)
    return place.uri if place.bucket else name_file(os.path.realpath(place.key))


def _write_new(place: Place, blocks: Iterable[bytes]) -> None:
    """Link a finished file to its name; the kernel refuses if the name is in use."""
    path = place.path
    taken = ObjectExists(f"{place.shown}: exists already")
    if path.exists():
        raise taken
    with temporary_beside(path) as temporary:
        write_synced(temporary, blocks)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise taken from None
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # Without links, check and rename are two steps: two writers may both win.
            if path.exists():
                raise taken from None
            temporary.replace(path)
    sync_folder(path.parent)


def _hash(data: bytes) -> str:
    """Hash an object: unlike size and time, the hash tells two writes in one clock tick apart."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _try_lock(file: BinaryIO, uri: str) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(
            f"{uri}: this file system has no file locks ({error.strerror}); set"
            " storage.conditional_writes=false"
        ) from None
    return True


class _Walk:
    """One walk through a folder. Links are followed, each linked folder once, and no folder is
    entered from within itself."""

    def __init__(self, recursive: bool) -> None:
        self.recursive = recursive
        self.linked: set[tuple[int, int]] = set()  # folders that were entered through a link

    def list(self, root: str) -> Iterator[Entry]:
        levels = [self._read(root, ())]  # no recursion: folders may lie deeper than Python's limit
        while levels:
            if (step := next(levels[-1], None)) is None:
                levels.pop()
                continue
            entry, above = step
            try:
                if entry.is_dir():
                    if self.recursive and self._may_enter(entry, above):
                        levels.append(self._read(entry.path, above))
                elif entry.is_file():
                    yield _make_entry(entry.path, entry.stat())
            except FileNotFoundError:  # gone since the folder was read, or a link to nothing
                continue
            except OSError as error:
                uri = name_file(entry.path)
                yield Entry(uri, 0, "", EPOCH, explain(error, show_uri(uri)))

    def _read(
        self, folder: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[os.DirEntry[str], tuple[tuple[int, int], ...]]]:
        """Read a folder; return its entries, each with the folders that it lies in."""
        own = os.stat(folder)  # noqa: PTH116 # names that are no text: strings go through unharmed
        inside = (*above, (own.st_dev, own.st_ino))
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        return ((entry, inside) for entry in entries)

    def _may_enter(self, entry: os.DirEntry[str], above: tuple[tuple[int, int], ...]) -> bool:
        found = entry.stat()
        identity = (found.st_dev, found.st_ino)
        if identity in above or (entry.is_symlink() and identity in self.linked):
            return False
        if entry.is_symlink():
            self.linked.add(identity)
        return True


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if path.parent.exists():
            raise
        # Another process cleared the folder meanwhile, or it is a link to nothing.
        raise FileNotFoundError(errno.ENOENT, "its folder is gone", str(path)) from None


@cache
def _find_system_devices() -> frozenset[int]:
    """Find the file systems of /proc and /sys: their files may change with every read."""
    paths = [Path(name) for name in ("/proc", "/sys")]
    devices = {path.stat().st_dev for path in paths if path.is_dir()}
    return frozenset(devices - {Path("/").stat().st_dev})


def _make_entry(path: str, found: os.stat_result) -> Entry:
    etag = f"{found.st_mtime_ns:x}-{found.st_size:x}"
    try:
        modified_at = datetime.fromtimestamp(found.st_mtime, tz=UTC)
    except (ValueError, OverflowError):  # a year that no calendar holds
        modified_at = EPOCH
    return Entry(name_file(path), found.st_size, etag, modified_at)
