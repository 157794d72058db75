"""Local files that appear whole or not at all."""

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

WRITE = "r+b"  # what has been cut to nothing, ext4 writes out once more when it is closed
TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})\.[0-9a-f]{32}\.tmp", re.DOTALL)
HERE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
# Of another machine's: not every shared file system tells of locks beyond one machine.
DEAD_AFTER_S = 24 * 3600.0


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """An empty file in the same folder; what is left under its name at the end is removed, and so
    is what dead writers left there. It is locked as long as its writer lives."""
    sweep(path.parent)
    while True:
        # Not built from the whole name: a long one would be too long with anything added.
        temporary = path.with_name(f".{path.name[:60]}.{HERE}.{uuid.uuid4().hex}.tmp")
        with temporary.open("xb") as lock:
            with suppress(OSError):  # file systems without locks: nothing is swept there
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not temporary.exists():
                continue  # swept before it was locked
            try:
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)
            return


def sweep(folder: Path) -> None:
    """Remove temporary files whose writers are dead: killed at once, they could not."""
    with os.scandir(folder) as entries:
        found = [(e, match) for e in entries if (match := TEMPORARY.fullmatch(e.name))]
    for entry, match in found:
        # Gone in between, or locked: another's.
        with suppress(OSError), (folder / entry.name).open("rb") as file:
            is_old = time.time() - entry.stat().st_mtime > DEAD_AFTER_S
            if match[1] == HERE or is_old:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / entry.name).unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path; what is written there takes the name `path` at the end, if that ends well,
    and is gone if not."""
    with temporary_beside(path) as temporary:
        yield temporary
        move_into_place(temporary, path)


def write_whole(path: Path, data: bytes) -> None:
    with replacing(path) as temporary, temporary.open(WRITE) as file:
        file.write(data)


def write_synced(path: Path, blocks: Iterable[bytes]) -> None:
    """Into an empty file: every byte on the disk before this returns."""
    with path.open(WRITE) as file:
        for block in blocks:
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def move_into_place(temporary: Path, path: Path) -> None:
    """Give a finished file its name so that a crash leaves the old one or the new one, whole."""
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
