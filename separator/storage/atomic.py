"""Write local files so that they appear whole or not at all."""

import fcntl
import hashlib
import os
import platform
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from separator.errors import RequestError
from separator.storage.uri import parse_uri

WRITE = "r+b"  # not "wb": ext4 flushes a truncated file when it is closed
TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})\.[0-9a-f]{32}\.tmp", re.DOTALL)
HERE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
# Files of other machines are dead at this age: not every shared file system shares its locks.
DEAD_AFTER_S = 24 * 3600.0


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Make an empty, locked file in the same folder and remove it at the end, if it still has that
    name. Files of dead writers are removed first."""
    sweep(path.parent)
    while True:
        # Only part of the name: a long one has no room for a suffix.
        part = os.fsencode(path.name)[:60].decode(errors="ignore")
        temporary = path.with_name(f".{part}.{HERE}.{uuid.uuid4().hex}.tmp")
        with temporary.open("xb") as lock:
            with suppress(OSError):  # file systems without locks are not swept
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not temporary.exists():
                continue  # swept before it was locked
            try:
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)
            return


def take_folder(folder: str | Path) -> Path:
    """Return the local folder that a user names; refuse a place that is not on this machine."""
    text = str(folder)
    scheme, found, _ = text.partition(":/")  # Path has made s3:/ of s3://
    if found and "/" not in scheme:
        place = parse_uri(text) if "://" in text else None
        if place is None or place.bucket:
            raise RequestError(f"{text}: must be a folder of this machine")
        return place.path
    return Path(text).expanduser()


def make_folder(folder: Path) -> None:
    """Make a folder, if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RequestError(
            f"{folder}: cannot be made, a file has its name or its parent's"
        ) from None


def sweep(folder: Path) -> None:
    """Remove the temporary files of writers that were killed."""
    with os.scandir(folder) as entries:
        found = [(e, match) for e in entries if (match := TEMPORARY.fullmatch(e.name))]
    for entry, match in found:
        # OSError: already removed, or locked by a living writer.
        with suppress(OSError), (folder / entry.name).open("rb") as file:
            is_old = time.time() - entry.stat().st_mtime > DEAD_AFTER_S
            if match[1] == HERE or is_old:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / entry.name).unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `path` at the end, or removed after an error."""
    with temporary_beside(path) as temporary:
        yield temporary
        move_into_place(temporary, path)


def write_whole(path: Path, data: bytes) -> None:
    with replacing(path) as temporary, temporary.open(WRITE) as file:
        file.write(data)


def write_synced(path: Path, blocks: Iterable[bytes]) -> None:
    """Write into an empty file, and return when every byte is on the disk."""
    with path.open(WRITE) as file:
        for block in blocks:
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def move_into_place(temporary: Path, path: Path) -> None:
    """Rename a finished file so that a crash leaves either the old or the new one."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
