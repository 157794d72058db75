"""The lock of an output, on a folder, on moto's server and on Ceph's gateway."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from separator.errors import LockLost, OutputTaken, StorageBusy, StorageError
from separator.run.lock import RunLock
from separator.storage import Storage
from tests.helpers.locks import make_lock, race, read_lock, write_lock

ROOT = Path(__file__).parents[2]


@pytest.fixture
def local(tmp_path) -> tuple[Storage, str]:
    return Storage(), str(tmp_path / "out")


class AwayStorage(Storage):
    """Can be switched off, as if the network were cut."""

    is_away = False

    def read_versioned(self, uri):
        if self.is_away:
            raise StorageBusy("away")
        return super().read_versioned(uri)


def wait_until(is_reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_lost(lock: RunLock) -> bool:
    try:
        lock.check()
    except LockLost:
        return True
    return False


@pytest.mark.parametrize("machine", ["", "there"])
def test_acquire_refuses_while_another_run_is_at_work(folder, machine):
    first = make_lock(folder, "1", machine=machine)
    first.acquire()
    with pytest.raises(OutputTaken, match=r"run 1 is at work on all of it; wait for its end"):
        make_lock(folder, "2").acquire()
    assert list(read_lock(folder)) == ["1"]
    first.check()
    first.release()
    third = make_lock(folder, "3")
    third.acquire()
    third.release()
    assert read_lock(folder) == {}


def test_acquire_replaces_dead_process_of_this_machine_at_once(local):
    code = (
        "import os\nfrom separator.storage import Storage\n"
        "from tests.helpers.locks import make_lock\n"
        f"make_lock((Storage(), {local[1]!r}), '1').acquire()\nos._exit(9)\n"
    )
    died = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT)
    assert died.returncode == 9 and list(read_lock(local)) == ["1"]
    lock = make_lock(local, "2")
    lock.acquire()
    assert list(read_lock(local)) == ["2"]
    lock.release()


def test_acquire_replaces_silent_run_of_another_machine(folder):
    write_lock(folder, "1")
    lock = make_lock(folder, "2", stale_s=0.3)
    lock.acquire()
    assert list(read_lock(folder)) == ["2"]
    lock.release()


def test_acquire_does_not_watch_a_lock_that_is_hours_old(local):
    write_lock(local, "1")
    os.utime(Path(local[1]) / "lock.json", (time.time() - 7_200,) * 2)
    lock = make_lock(local, "2", stale_s=1_800.0)  # longer than this test may take
    lock.acquire()
    lock.release()


def test_check_raises_after_another_run_took_over(local):
    storage = AwayStorage()
    first = make_lock((storage, local[1]), "1", machine="there")
    first.acquire()
    first.check()
    storage.is_away = True
    second = make_lock(local, "2", stale_s=0.3)
    second.acquire()
    storage.is_away = False
    wait_until(lambda: is_lost(first))
    with pytest.raises(LockLost, match="run 1 stops: its heartbeat expired; at work now: 2"):
        first.check()
    with pytest.raises(LockLost):
        first.try_alone()
    first.release()
    second.check()
    assert list(read_lock(local)) == ["2"]
    second.release()


def test_check_after_a_long_stop_raises_before_the_heartbeat_found_the_takeover(local):
    """The driver goes on at once where it was stopped; its heartbeat would come later."""
    first = make_lock(local, "1", heartbeat_s=600.0, stale_s=0.1)
    first.acquire()
    first.check()
    write_lock(local, "2")
    time.sleep(0.1)
    with pytest.raises(LockLost, match="run 1 stops: its heartbeat expired; at work now: 2"):
        first.check()
    first.release()
    assert list(read_lock(local)) == ["2"]


def test_try_alone_raises_before_the_heartbeat_found_the_takeover(local):
    first = make_lock(local, "1", heartbeat_s=600.0)
    first.acquire()
    write_lock(local, "2")
    first.check()
    with pytest.raises(LockLost):
        first.try_alone()
    first.release()


def test_heartbeat_survives_storage_that_is_away_for_longer_than_stale(local, caplog):
    storage, beats = AwayStorage(), []
    lock = make_lock(
        (storage, local[1]), "1", machine="there", stale_s=0.2, on_heartbeat=lambda: beats.append(1)
    )
    lock.acquire()
    storage.is_away = True
    wait_until(lambda: caplog.text.count("the heartbeat failed") >= 8)
    seen = len(beats)
    storage.is_away = False
    wait_until(lambda: len(beats) > seen)
    lock.check()
    assert lock.try_alone()
    lock.release()


def test_heartbeat_survives_a_callback_whose_storage_is_away(local):
    calls = []

    def fail() -> None:
        calls.append(read_lock(local)["1"]["heartbeat"])
        raise StorageError("away")

    lock = make_lock(local, "1", on_heartbeat=fail)
    lock.acquire()
    wait_until(lambda: len(calls) >= 3)
    lock.check()
    assert calls == sorted(set(calls)), "one heartbeat before each call"
    lock.release()
    num_calls = len(calls)
    time.sleep(0.2)
    assert len(calls) == num_calls, "none after the release"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_check_raises_after_the_heartbeat_thread_died(local):
    def fail() -> None:
        raise SystemExit  # ends a thread without a message

    lock = make_lock(local, "1", on_heartbeat=fail)
    lock.acquire()
    wait_until(lambda: is_lost(lock))
    lock.release()


def check_race(folder, num_rounds: int, **settings) -> None:
    for number in range(num_rounds):
        locks = [make_lock(folder, f"{number}-{i}", machine=f"m{i}", **settings) for i in range(6)]
        won = race([lock.acquire for lock in locks])
        assert sum(won) == 1, (number, won)
        winner = locks[won.index(True)]
        winner.check()
        assert list(read_lock(folder)) == [winner.run_id]
        winner.release()


def test_one_of_six_racing_threads_acquires(folder):
    check_race(folder, 2)


def test_one_of_six_racing_processes_acquires(local, tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom separator.errors import OutputTaken\n"
        "from separator.storage import Storage\nfrom tests.helpers.locks import make_lock\n"
        f"lock = make_lock((Storage(), {local[1]!r}), sys.argv[1])\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "try:\n    lock.acquire()\n    print('won', flush=True)\n"
        "except OutputTaken:\n    print('refused', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(i)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for i in range(6)
    ]

    def tell(racer) -> None:
        racer.stdin.write("go\n")
        racer.stdin.flush()

    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        tell(racer)
    answers = [racer.stdout.readline() for racer in racers]
    for racer in racers:
        racer.communicate("end\n", timeout=60)
    assert sorted(answers) == ["refused\n"] * 5 + ["won\n"]


def test_shards_hold_the_lock_side_by_side(folder):
    locks = [make_lock(folder, str(i), f"{i}/3", machine=f"m{i}") for i in (1, 2, 3)]
    for lock in locks:
        lock.acquire()
    for shard, message in (("", "shard"), ("2/3", "run 2 .* shard 2/3"), ("1/2", "shard")):
        with pytest.raises(OutputTaken, match=message):
            make_lock(folder, "4", shard).acquire()
    assert [lock.try_alone() for lock in locks] == [False, False, True]
    # While the last one compacts, no other run starts.
    with pytest.raises(OutputTaken, match="run 3 is at work on all of it"):
        make_lock(folder, "5", "1/3").acquire()
    for lock in locks:
        lock.release()
    assert read_lock(folder) == {}


def test_one_of_the_shards_that_end_at_once_compacts(folder):
    inside, most = [], []

    def end(lock: RunLock) -> bool:
        try:
            if not lock.try_alone():
                return False
            inside.append(lock)
            most.append(len(inside))
            time.sleep(0.05)
            lock.check()
            inside.remove(lock)
            return True
        finally:
            lock.release()

    for number in range(2):
        locks = [make_lock(folder, f"{number}-{i}", f"{i}/4", f"m{i}") for i in range(1, 5)]
        for lock in locks:
            lock.acquire()
        done = race([lambda lock=lock: end(lock) for lock in locks])
        assert sum(done) == 1, (number, done)
    assert set(most) == {1} and read_lock(folder) == {}


def test_last_shard_does_not_wait_for_a_shard_that_died(local):
    write_lock(local, "1", "1/2")
    lock = make_lock(local, "2", "2/2", stale_s=0.3)
    lock.acquire()
    assert list(read_lock(local)) == ["1", "2"], "not in its way, so not dropped"
    assert lock.try_alone()
    assert list(read_lock(local)) == ["2"]
    lock.release()


def test_acquire_detects_a_store_that_ignores_conditional_writes(lax_bucket, caplog):
    folder = (lax_bucket.storage, f"{lax_bucket.uri}/out")
    with pytest.raises(StorageError, match=r"ignores .* set storage\.conditional_writes=false"):
        make_lock(folder, "1").acquire()
    settings = replace(lax_bucket.settings, conditional_writes=False)
    with caplog.at_level(logging.WARNING):
        check_race((Storage(settings), folder[1]), 1, heartbeat_s=1.0)
    assert "storage.conditional_writes=false: runs that start at once may collide" in caplog.text
