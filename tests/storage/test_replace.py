"""Objects that several writers replace: one wins, and no change is lost."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from separator.errors import ObjectChanged, ObjectMissing
from separator.storage import Storage
from separator.storage.shared import SharedObject

ROOT = Path(__file__).parents[2]


def test_replace_accepts_only_the_current_version(folder):
    storage, root = folder
    uri = f"{root}/x"
    with pytest.raises(ObjectChanged):
        storage.replace(uri, b"0", "0" * 32)
    with pytest.raises(ObjectMissing):
        storage.read_versioned(uri)
    storage.write(uri, b"one")
    data, first = storage.read_versioned(uri)
    storage.replace(uri, b"two", first)
    assert data == b"one" and storage.read(uri) == b"two"
    with pytest.raises(ObjectChanged, match="/x: another"):
        storage.replace(uri, b"6th", first)
    assert storage.read(uri) == b"two"
    assert [entry.uri for entry in storage.list(root)] == [uri], "nothing is left beside it"


def test_replace_lets_one_of_many_writers_win(folder):
    storage, root = folder
    uri, barrier = f"{root}/x", threading.Barrier(8)
    storage.write(uri, b"-")
    _, version = storage.read_versioned(uri)

    def write(number: int) -> bool:
        barrier.wait()
        try:
            storage.replace(uri, str(number).encode(), version)
        except ObjectChanged:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert sum(won) == 1 and storage.read(uri) == str(won.index(True)).encode()


def test_replace_without_conditional_writes_looks_first(lax_bucket, tmp_path):
    lax = Storage(replace(lax_bucket.settings, conditional_writes=False))
    for storage, uri in ((lax, f"{lax_bucket.uri}/x"), (lax, str(tmp_path / "x"))):
        storage.write(uri, b"one", if_absent=True)
        _, first = storage.read_versioned(uri)
        storage.replace(uri, b"two", first)
        with pytest.raises(ObjectChanged):
            storage.replace(uri, b"six", first)
        assert storage.read(uri) == b"two"


HOLDER = """
import fcntl, sys, time
from pathlib import Path
from separator.storage.atomic import replacing
with open(sys.argv[1], "r+b") as file, replacing(Path(sys.argv[1])) as temporary:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    time.sleep(60)
"""


def test_replace_is_refused_by_a_living_writer_and_not_by_a_killed_one(tmp_path):
    storage, uri = Storage(), str(tmp_path / "x")
    storage.write(uri, b"one")
    _, version = storage.read_versioned(uri)
    command = [sys.executable, "-c", HOLDER, uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout and process.stdout.readline() == "locked\n"
        with pytest.raises(ObjectChanged):
            storage.replace(uri, b"two", version)
        os.kill(process.pid, signal.SIGKILL)
    storage.replace(uri, b"two", version)
    assert [path.name for path in tmp_path.iterdir()] == ["x"], "the half-written file is swept"


def test_replace_is_refused_if_the_file_changes_before_it_is_locked(tmp_path, monkeypatch):
    storage, uri, flock = Storage(), str(tmp_path / "x"), fcntl.flock
    storage.write(uri, b"one")
    _, version = storage.read_versioned(uri)

    def lock_late(*args) -> None:
        monkeypatch.undo()
        storage.replace(uri, b"two", version)
        flock(*args)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with pytest.raises(ObjectChanged):
        storage.replace(uri, b"six", version)
    assert storage.read(uri) == b"two"


def count(storage: Storage, uri: str, key: str, times: int) -> None:
    shared = SharedObject(storage, uri, key, pause_s=0.01)
    for _ in range(times):
        shared.change(lambda content, _: content | {key: content.get(key, 0) + 1})


def test_shared_object_keeps_every_change_of_many_threads(folder):
    storage, root = folder
    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(count, storage, f"{root}/n", str(i), 5) for i in range(4)]:
            job.result()
    content = json.loads(storage.read(f"{root}/n"))
    assert content == {"0": 5, "1": 5, "2": 5, "3": 5}


def test_shared_object_keeps_every_change_of_many_processes(tmp_path):
    uri = str(tmp_path / "n")
    code = (
        "from separator.storage import Storage\nfrom tests.storage.test_replace import count\n"
        f"import sys; count(Storage(), {uri!r}, sys.argv[1], 50)\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, key], cwd=ROOT) for key in "abc"]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert json.loads(Storage().read(uri)) == {"a": 50, "b": 50, "c": 50}


def test_shared_object_asks_again_while_undecided(tmp_path):
    answers = [None, None, {"a": 1}]
    shared = SharedObject(Storage(), str(tmp_path / "x"), "a", 0.01)
    assert shared.change(lambda *_: answers.pop(0)) == {"a": 1} and answers == []


def test_shared_object_waits_for_a_writer_that_the_disk_keeps_waiting(tmp_path):
    path = tmp_path / "n"
    path.write_text('{"a": 1}')
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        threading.Timer(0.4, file.close).start()  # a hundred pauses are over by then
        shared = SharedObject(Storage(), str(path), "b", 0.002)
        assert shared.change(lambda content, _: content | {"b": 2}) == {"a": 1, "b": 2}
