"""Make temporary folders; raise a StorageError if the disk has no room for one.

A process that is killed leaves its folders behind. Each folder is locked by its process (flock,
which the kernel releases) and named after the boot of its machine: so the next process of the same
user on the machine recognises folders of dead processes and removes them. If a file system has no
such locks, nothing is removed.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from separator.errors import DiskFull, StorageError
from separator.storage.local import FULL

PREFIX = "separator-"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder below TMPDIR that is removed at the end, or later if the process is killed."""
    try:
        remove_abandoned()
        folder, lock = _make_folder()
    except OSError as error:
        kind = DiskFull if error.errno in FULL else StorageError
        raise kind(
            f"no temporary folder can be made: {error}; make room, or set TMPDIR to another disk"
        ) from None
    try:
        with folder as name:
            yield Path(name)
    finally:
        if lock is not None:
            os.close(lock)


def _make_folder() -> tuple[tempfile.TemporaryDirectory[str], int | None]:
    """Make a folder and lock it; if that fails, give it a name that other processes ignore."""
    if prefix := name_boot():
        folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
        if (lock := _lock(folder.name)) is not None:
            if Path(folder.name).exists():
                return folder, lock
            os.close(lock)  # another process removed the folder before it was locked
        folder.cleanup()
    return tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True), None


def _lock(path: str, flags: int = 0) -> int | None:
    """Lock a folder; None if it cannot be locked."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | flags)
    except OSError:  # held, or a file system without locks of folders (NFS)
        os.close(file)
        return None
    return file


@cache
def name_boot() -> str:
    """Return how names of this boot of the machine begin; empty if the boot has no id."""
    try:
        return f"{PREFIX}{BOOT_ID.read_text().strip()}-"
    except OSError:
        return ""


@cache  # once a process
def remove_abandoned() -> None:
    """Remove the folders below TMPDIR whose processes are dead."""
    if not (prefix := name_boot()):
        return
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in [entry for entry in entries if entry.name.startswith(prefix)]:
            if is_own_folder(entry) and (lock := _lock(entry.path, fcntl.LOCK_NB)) is not None:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(lock)


def is_own_folder(entry: os.DirEntry[str]) -> bool:
    try:
        about = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
