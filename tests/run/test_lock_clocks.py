"""The lock of an output where clocks differ: no clock of another machine is believed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from separator.errors import OutputTaken
from separator.storage import Entry, Storage
from tests.helpers.locks import make_lock


class Behind(Storage):
    """A shared folder whose clock is two hours behind this machine's."""

    def stat(self, uri: str) -> Entry:
        entry = super().stat(uri)
        return replace(entry, modified_at=entry.modified_at - timedelta(hours=2))


def test_a_run_at_work_is_not_taken_for_dead_where_clocks_differ(tmp_path):
    first = make_lock((Storage(), str(tmp_path)), "1", machine="there", heartbeat_s=0.05)
    first.acquire()
    second = make_lock((Behind(), str(tmp_path)), "2", heartbeat_s=0.05, stale_s=60.0)
    with pytest.raises(OutputTaken, match="run 1 is at work"):
        second.acquire()
    first.check()
    first.release()
    assert [path.name for path in tmp_path.iterdir()] == ["lock.json"]


def test_shards_know_which_of_them_came_before(folder):
    locks = [make_lock(folder, run_id, f"{n}/3") for n, run_id in enumerate(["3", "1", "2"], 1)]
    for lock in locks:
        lock.acquire()
    assert [lock.list_earlier() for lock in locks] == [[], ["3"], ["3", "1"]]
    for lock in locks:
        lock.release()
