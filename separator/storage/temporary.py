"""Make temporary folders; a disk that has no room for one is a StorageError."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from separator.errors import DiskFull, StorageError
from separator.storage.local import FULL


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder below TMPDIR that is removed at the end."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="separator-", ignore_cleanup_errors=True)
    except OSError as error:
        kind = DiskFull if error.errno in FULL else StorageError
        raise kind(
            f"no temporary folder can be made: {error}; make room, or set TMPDIR to another disk"
        ) from None
    with folder as name:
        yield Path(name)
