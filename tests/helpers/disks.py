"""Mount small disks of memory: they fill up, and can be closed to writers."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = bytes(1 << 16)


class Disk:
    """One mounted disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def remount(self, option: str) -> None:
        """`size=...` (bytes), `ro` or `rw`. A disk with a file open for writing refuses `ro`."""
        for _ in range(5_000):
            done = run("mount", "-o", f"remount,{option}", str(self.path))
            if done.returncode == 0:
                return
            time.sleep(0.01)
        raise OSError(done.stderr)

    def fill(self) -> Path:
        """Write a file until there is no room."""
        path = self.path / "everything.bin"
        with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
            for _ in range(1 << 20):
                file.write(BLOCK)
        return path


@contextmanager
def mounted_disk(path: Path, num_bytes: int) -> Iterator[Disk]:
    path.mkdir(parents=True, exist_ok=True)
    done = run("mount", "-t", "tmpfs", "-o", f"size={num_bytes},mode=777", "tmpfs", str(path))
    if done.returncode:
        pytest.fail(f"needs the right to mount a disk (root): {done.stderr}; uid {os.getuid()}")
    try:
        yield Disk(path)
    finally:
        run("umount", "--lazy", str(path))  # Ray's processes may take a moment to end


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False)
