"""Who may work on an output: one run, or one of each shard; on a folder and on S3."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from separator.errors import LockLost, OutputTaken, StorageError
from separator.results.paths import Layout
from separator.run.lock import Claim, identify_process, is_alive, overlap
from separator.storage import Storage

LATER_S = 1.0


def make_claim(place, run_id, shard="", *, machine="", **settings) -> Claim:
    """Of this process, or of one of another machine, whose pid says nothing here."""
    storage, root_uri = place
    process = f"{machine}/{os.getpid()}/1" if machine else ""
    settings = {"beat_s": 0.1, "silent_s": LATER_S, "process": process} | settings
    return Claim(
        storage, Layout(root_uri, "flac"), run_id, shard, lambda: {"totals": 7}, **settings
    )


@pytest.fixture
def folder(tmp_path) -> tuple[Storage, str]:
    return Storage(), str(tmp_path / "out")


def read_states(place) -> dict[str, str]:
    storage, root_uri = place
    found = [json.loads(storage.read(e.uri)) for e in storage.list(f"{root_uri}/runs", ["*.json"])]
    return {content["run_id"]: content["state"] for content in found}


def test_a_second_run_refuses_and_leaves_nothing(folder):
    first = make_claim(folder, "1")
    first.take()
    with pytest.raises(OutputTaken, match=r"run 1 is at work on all of it.*wait for its end"):
        make_claim(folder, "2").take()
    # The other way round too: ids decide only between two that start at once.
    with pytest.raises(OutputTaken):
        make_claim(folder, "0").take()
    assert read_states(folder) == {"1": "running"}
    first.end("finished")
    third = make_claim(folder, "3")
    third.take()
    third.withdraw()
    assert read_states(folder) == {"1": "finished"}


def test_the_record_is_renewed(folder):
    claim = make_claim(folder, "1")
    claim.take()
    path = Path(folder[1]) / "runs/1.json"
    first = json.loads(path.read_text())
    assert first["state"] == "running" and first["totals"] == 7
    deadline = time.monotonic() + 20
    while json.loads(path.read_text())["written_at"] == first["written_at"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    claim.end("stopped")
    last = path.read_text()
    time.sleep(0.3)
    assert path.read_text() == last and json.loads(last)["state"] == "stopped"


def test_a_dead_process_of_this_machine_holds_nothing(folder):
    code = (
        "import os\n"
        "from separator.storage import Storage\nfrom tests.run.test_lock import make_claim\n"
        f"make_claim((Storage(), {folder[1]!r}), '1').take()\nos._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert read_states(folder) == {"1": "running"}
    claim = make_claim(folder, "2", silent_s=300)  # longer than anybody waits
    claim.take()
    claim.end("finished")


def test_a_run_of_another_machine(folder):
    """It is heard of, or silent for long enough."""
    first = make_claim(folder, "1", machine="there")
    first.take()
    with pytest.raises(OutputTaken):
        make_claim(folder, "2").take()
    first._ended.set()  # as if it had been switched off
    first._thread.join()
    started = time.monotonic()
    second = make_claim(folder, "3")
    second.take()
    assert time.monotonic() - started < 20
    second.end("finished")
    assert read_states(folder) == {"1": "running", "3": "finished"}


def test_who_is_taken_for_dead_learns_of_it(folder):
    first = make_claim(folder, "1", machine="there", beat_s=3.0)  # late, each time
    first.take()
    first.check()
    time.sleep(1.1 * LATER_S)
    second = make_claim(folder, "2")
    second.take()
    first._thread.join(20)
    with pytest.raises(LockLost, match="run 2 is at work"):
        first.check()
    first.end("stopped")
    second.check()
    second.end("finished")
    assert read_states(folder) == {"1": "stopped", "2": "finished"}


def test_who_is_late_but_alone_goes_on(folder):
    claim = make_claim(folder, "1", beat_s=1.5, silent_s=0.5)
    claim.take()
    time.sleep(3.5)
    claim.check()
    claim.end("finished")


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [("", "", True), ("1/2", "", True), ("", "2/2", True), ("1/2", "1/2", True),
     ("1/2", "2/2", False), ("1/2", "2/3", True), ("3/12", "1/12", False)],
)  # fmt: skip
def test_what_has_assets_in_common(one, other, together):
    assert overlap(one, other) == together


def test_shards_work_side_by_side_and_the_last_does_the_rest(folder):
    claims = [
        make_claim(folder, str(i), f"{i}/3", machine=f"m{i}", silent_s=50.0) for i in (1, 2, 3)
    ]
    for claim in claims:
        claim.take()
    with pytest.raises(OutputTaken, match="shard"):
        make_claim(folder, "4").take()
    assert [claim.widen() or claim.end("finished") for claim in claims] == [None, None, True]
    # Now that it has all, nobody else of its shards may start.
    with pytest.raises(OutputTaken, match="all of it"):
        make_claim(folder, "5", "1/3").take()
    claims[2].end("finished")


def race(actions) -> list[bool]:
    """Which of them go through, all begun at once; those that do are ended after all have tried."""
    barrier = threading.Barrier(len(actions))

    def act(action) -> bool:
        barrier.wait()
        try:
            return action() is not False
        except OutputTaken:
            return False

    with ThreadPoolExecutor(len(actions)) as pool:
        return [done.result(60) for done in [pool.submit(act, action) for action in actions]]


def check_race(place, rounds: int, prefix: str) -> None:
    """`silent_s` is long: that somebody waits it out and goes on would be a second winner."""
    for number in range(rounds):
        claims = [
            make_claim(place, f"{prefix}{number}-{i}", machine=f"m{i}", silent_s=50.0, beat_s=0.2)
            for i in range(6)
        ]
        won = race([claim.take for claim in claims])
        assert sum(won) == 1, (number, won)
        for claim, has_won in zip(claims, won, strict=True):
            if has_won:
                claim.check()
                claim.end("finished")


def test_of_six_that_start_at_once_one_goes_on(folder):
    check_race(folder, 8, "r")
    assert set(read_states(folder).values()) == {"finished"}


def test_of_six_on_a_store(bucket):
    """Ours is asked for no conditional write."""
    check_race((bucket.storage, f"{bucket.uri}/out"), 2, "s")


@pytest.mark.parametrize("linger_s", [0.0, 0.7])
def test_of_shards_that_end_at_once_one_does_the_rest(folder, linger_s):
    """`linger_s`: between a shard's leaving the rest to others and its own end."""

    def end(claim) -> bool:
        if claim.widen():
            return True
        time.sleep(linger_s)
        claim.end("finished")
        return False

    for number in range(6):
        claims = [
            make_claim(folder, f"{number}-{i}", f"{i}/4", machine=f"m{i}", silent_s=50.0)
            for i in (1, 2, 3, 4)
        ]
        for claim in claims:
            claim.take()
        whole = race([lambda c=claim: end(c) for claim in claims])
        assert sum(whole) == 1, (number, whole)
        claims[whole.index(True)].end("finished")


class Between(Storage):
    """Does something after a claim has written a state: each action once, in turn."""

    def __init__(self, **actions) -> None:
        super().__init__()
        self.actions = {state: list(todo) for state, todo in actions.items()}

    def write(self, uri, data, **options):
        super().write(uri, data, **options)
        if todo := self.actions.get(json.loads(data)["state"]):
            todo.pop(0)()


def write_record(place, run_id, state, shard, own_shard="", machine="other"):
    """As another version or machine would."""
    storage, root_uri = place
    content = {"run_id": run_id, "state": state, "shard": shard, "process": f"{machine}/1/1"}
    content |= {
        "written_at": str(time.time()),
        "own_shard": shard if own_shard is None else own_shard,
    }
    storage.write(Layout(root_uri, "flac").run(run_id), json.dumps(content).encode())


@pytest.mark.parametrize("machine", ["", "m"])
def test_two_shards_do_not_leave_the_rest_to_each_other(folder, machine):
    """The other one ends while this one is leaving the rest to it."""
    machines = [machine and f"{machine}{i}" for i in (1, 2)]
    other = make_claim(folder, "2", "2/2", machine=machines[1], silent_s=50.0)
    other.take()
    storage = Between(finished=[lambda: other.end("finished")])
    place = (storage, folder[1])
    claim = make_claim(place, "1", "1/2", machine=machines[0], silent_s=50.0)
    claim.take()
    assert claim.widen()
    assert read_states(folder) == {"1": "running", "2": "finished"}
    claim.end("finished")
    record = json.loads((Path(folder[1]) / "runs/1.json").read_text())
    assert record["shard"] == "1/2"


@pytest.mark.parametrize("ends", ["", "running"])
def test_a_shard_leaves_the_rest_to_a_start_only_if_that_goes_on(folder, ends):
    """Another start of the same shard: it lets it go first, and sees what becomes of it."""

    def decide() -> None:
        if ends:
            write_record(folder, "0", ends, "1/2")
        else:
            folder[0].delete(Layout(folder[1], "flac").run("0"))

    later = threading.Timer(0.8, decide)
    started = [lambda: write_record(folder, "0", "starting", "1/2")]
    place = (Between(starting=[lambda: None, *started], finished=[later.start]), folder[1])
    claim = make_claim(place, "1", "1/2", silent_s=50.0)
    claim.take()
    assert claim.widen() is (not ends)
    later.join()
    claim.end("finished")


def test_a_shard_may_start_while_another_asks_for_the_rest(folder):
    """It waits for the answer; the one that asks lets it go first, whoever began before."""
    write_record(folder, "0", "starting", "", own_shard="1/3")
    done = threading.Timer(0.8, lambda: write_record(folder, "0", "finished", "1/3"))
    done.start()
    claim = make_claim(folder, "1", "3/3", machine="m", silent_s=50.0)
    claim.take()
    done.join()
    claim.end("finished")
    write_record(folder, "2", "running", "", own_shard="1/3")
    with pytest.raises(OutputTaken, match="all of it"):
        # `running` without a sign of life: not before it was seen to be renewed.
        renew = threading.Timer(0.8, lambda: write_record(folder, "2", "running", "", "1/3"))
        renew.start()
        make_claim(folder, "3", "3/3", machine="m", silent_s=50.0).take()


class AwayOnce(Storage):
    """Lists nothing, once, when it is told to."""

    is_away = False

    def list(self, uri, *rest, **options):
        if self.is_away:
            self.is_away = False
            raise StorageError("away")
        return super().list(uri, *rest, **options)


def test_a_late_run_that_could_not_look_looks_again(folder):
    """It had written `starting` when the store went away once more."""
    storage = AwayOnce()
    first = make_claim((storage, folder[1]), "1", beat_s=3.0, silent_s=1.5)
    second = make_claim(folder, "2", beat_s=0.05, silent_s=50.0)
    first.take()
    write_record(folder, "1", "finished", "")  # out of sight, as if it had been silent
    storage.is_away = True
    second.take()
    first._thread.join(30)
    assert not storage.is_away
    with pytest.raises(LockLost, match="run 2 is at work"):
        first.check()
    assert read_states(folder) == {"1": "stopped", "2": "running"}
    with pytest.raises(LockLost):
        first.widen()
    second.end("finished")


def test_a_late_run_does_not_do_the_rest(folder):
    """It comes to its end before it has renewed its record."""
    first = make_claim(folder, "1", beat_s=50.0, silent_s=0.5)
    second = make_claim(folder, "2", silent_s=50.0)
    first.take()
    assert first.widen()
    write_record(folder, "1", "finished", "")
    second.take()
    time.sleep(0.6)
    with pytest.raises(LockLost, match="run 2 is at work"):
        first.widen()
    first.end("stopped")
    second.end("finished")


def test_who_waits_for_long_is_seen(folder):
    """Longer than a record counts for, since one that will give way takes its time."""
    write_record(folder, "9", "starting", "")
    waiting = make_claim(folder, "1", machine="m1", silent_s=3.0)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(waiting.take)
        for _ in range(4):
            time.sleep(1)
            write_record(folder, "9", "starting", "")
        with pytest.raises(OutputTaken, match="run 1 is at work"):
            make_claim(folder, "2", machine="m2", silent_s=3.0).take()
        assert not taken.done()
        write_record(folder, "9", "stopped", "")
        taken.result(20)
    waiting.end("finished")


def test_what_a_process_is_known_by():
    here = identify_process(os.getpid())
    assert is_alive(here, here) is True
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = identify_process(child.pid)
    assert is_alive(process, here) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive(process, here) is False  # a zombie
    child.communicate()
    assert is_alive(process, here) is False
    # The same pid at another time, another machine, and one that is not known at all.
    assert is_alive(here + "1", here) is False
    assert is_alive(f"elsewhere{here}", here) is None and is_alive("", here) is None
