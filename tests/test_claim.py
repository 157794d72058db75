"""Who may work on an output: one run, or one of each shard; on a folder and on S3."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from separator.claim import Claim, identify_process, is_alive, overlap
from separator.errors import ClaimLost, OutputTaken
from separator.layout import Layout
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
        "from separator.storage import Storage\nfrom tests.test_claim import make_claim\n"
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
    with pytest.raises(ClaimLost, match="run 2 is at work"):
        first.check()
    first.end("stopped")
    second.check()
    second.end("finished")
    assert read_states(folder) == {"1": "stopped", "2": "finished"}


def test_who_is_late_but_alone_goes_on(folder):
    claim = make_claim(folder, "1", beat_s=0.4, silent_s=0.1)
    claim.take()
    time.sleep(1.5)
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
    claims = [make_claim(folder, str(i), f"{i}/3", machine=f"m{i}") for i in (1, 2, 3)]
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
    barrier, results = threading.Barrier(len(actions)), [False] * len(actions)

    def act(number):
        barrier.wait()
        try:
            results[number] = actions[number]() is not False
        except OutputTaken:
            results[number] = False

    threads = [threading.Thread(target=act, args=(i,)) for i in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def check_race(place, rounds: int, prefix: str) -> None:
    """`silent_s` is long: that somebody waits it out and goes on would be a second winner."""
    for number in range(rounds):
        settings = {"silent_s": 50.0, "beat_s": 0.2}
        claims = [
            make_claim(place, f"{prefix}{number}-{i}", machine=f"m{i}", **settings)
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
    """Does something between the writes of a claim."""

    def __init__(self, actions) -> None:
        super().__init__()
        self.actions = actions

    def write(self, uri, data, **options):
        made = super().write(uri, data, **options)
        for action in self.actions.pop(json.loads(data)["state"], []):
            action()
        return made


@pytest.mark.parametrize("machine", ["", "m2"])
def test_two_shards_do_not_leave_the_rest_to_each_other(folder, machine):
    """The other one ends while this one is leaving the rest to it."""
    other = make_claim(folder, "2", "2/2", machine=machine)
    other.take()
    storage = Between({"finished": [lambda: other.end("finished")]})
    claim = make_claim((storage, folder[1]), "1", "1/2", machine="" if not machine else "m1")
    claim.take()
    assert claim.widen()
    assert read_states(folder) == {"1": "running", "2": "finished"}
    claim.end("finished")


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
