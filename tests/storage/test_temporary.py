"""Temporary folders of processes that live, and of those that were killed."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from separator.storage.temporary import name_boot, temporary_folder

HOLD = """
import sys
from separator.storage.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "asset.mxf").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Start processes that make a temporary folder below tmp_path, and hold it."""
    held = []

    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        held.append(process)
        assert process.stdout
        return process, process.stdout.readline().strip()

    yield start
    for process in held:
        process.communicate()


def test_folders_of_killed_processes_are_removed_by_the_next_one(tmp_path, hold):
    killed, left = hold()
    _, alive = hold()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    other_boot = tmp_path / "separator-00000000-0000-0000-0000-000000000000-abc"
    other_boot.mkdir()
    mine = tmp_path / "precious"
    mine.mkdir()
    (link := tmp_path / f"{name_boot()}link").symlink_to(mine)
    assert {left, alive} <= set(map(str, tmp_path.iterdir()))
    _, third = hold()
    wanted = {alive, third, *map(str, (other_boot, mine, link))}
    assert set(map(str, tmp_path.iterdir())) == wanted


def test_a_folder_is_removed_at_its_end():
    with temporary_folder() as folder:
        (folder / "a").mkdir()
    assert not folder.exists()


def test_a_folder_that_is_gone_at_its_end_is_no_error():
    with temporary_folder() as folder:
        shutil.rmtree(folder)
