"""Local files appear whole, and files of killed writers are swept by the next writer."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from separator.storage.atomic import DEAD_AFTER_S, replacing, temporary_beside, write_whole

WRITER = """
import sys, time
from pathlib import Path
from separator.storage.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """Another process in the middle of a file of that folder."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "other")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_whole_sweeps_files_of_killed_writers(writer, tmp_path):
    write_whole(tmp_path / "a", b"whole")
    assert len(list_names(tmp_path)) == 2, "a living writer keeps what it is writing"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    (tmp_path / ".not ours.tmp").touch()
    # Of other machines, one of them dead for long.
    far = [tmp_path / f".x.{'0' * 8}.{digit * 32}.tmp" for digit in "12"]
    for path in far:
        path.touch()
    os.utime(far[0], (time.time() - 2 * DEAD_AFTER_S,) * 2)
    write_whole(tmp_path / "b", b"whole")
    assert list_names(tmp_path) == [".not ours.tmp", far[1].name, "a", "b"]


def test_write_whole_survives_parallel_writers(tmp_path):
    def write(number: int) -> None:
        for i in range(100):
            write_whole(tmp_path / f"{(number + i) % 3}", b"x" * 1_000)

    errors = []
    threading.excepthook, before = lambda told: errors.append(told), threading.excepthook
    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threading.excepthook = before
    assert not errors and list_names(tmp_path) == ["0", "1", "2"]
    assert all(path.read_bytes() == b"x" * 1_000 for path in tmp_path.iterdir())


def test_replacing_leaves_nothing_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert list_names(tmp_path) == []


def test_temporary_beside_accepts_a_long_name(tmp_path):
    with temporary_beside(tmp_path / ("ü" * 120)) as temporary:
        assert temporary.exists()
