"""The holders of a lock: overlap, and staleness."""

import time

import pytest

from separator.errors import OutputDamaged
from separator.run.holders import Holder, HolderWatch, find_live, overlap
from separator.storage import Storage
from tests.helpers.locks import make_lock


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("", "", True), ("1/2", "", True), ("", "2/2", True), ("1/2", "1/2", True),
     ("1/2", "2/2", False), ("1/2", "2/3", True), ("3/12", "1/12", False)],
)  # fmt: skip
def test_overlap(one, other, expected):
    assert overlap(one, other) == expected


def test_find_live_is_undecided_until_an_overlapping_holder_is_known():
    holders = {"1": Holder("1/2", "a/1/1"), "2": Holder("2/2", "b/1/1")}
    assert find_live(holders, {"1": None, "2": False}, "") is None
    assert find_live(holders, {"1": None, "2": True}, "") == {"2": holders["2"]}
    assert find_live(holders, {"1": None, "2": False}, "2/2") == {}


def judge(watch: HolderWatch, heartbeat: int) -> bool | None:
    return watch.judge({"1": Holder("", "there/1/1", heartbeat)}, time.monotonic())["1"]


def test_watch_judges_by_the_heartbeat():
    watch = HolderWatch("here/1/1", 0.2, 60.0, lambda: 0.0)
    assert judge(watch, 7) is None
    assert judge(watch, 8) is True
    time.sleep(0.25)
    assert judge(watch, 8) is False
    assert judge(watch, 9) is True


def test_watch_starts_again_after_a_gap():
    watch = HolderWatch("here/1/1", 0.2, 0.1, lambda: 0.0)
    assert judge(watch, 7) is None
    time.sleep(0.25)
    assert judge(watch, 7) is None


def test_watch_takes_the_age_of_the_lock_only_beyond_any_clock_skew():
    for age_s, expected in ((1_700.0, None), (3_600.0, False)):
        assert judge(HolderWatch("here/1/1", 60.0, 20.0, lambda age_s=age_s: age_s), 7) is expected


FOREIGN = ["", "{", "[]", '{"a": 1}', '{"a": {"x": 1}}', '{"a": {"shard": "1", "process": "q"}}']
FOREIGN += ['{"a": {"shard": "", "process": 5}}', "[" * 100_000]


@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_acquire_names_a_lock_that_no_run_has_written(tmp_path, text):
    path = tmp_path / "lock.json"
    path.write_text(text)
    with pytest.raises(OutputDamaged, match=r"lock\.json: .*; delete it if no") as caught:
        make_lock((Storage(), str(tmp_path)), "2").acquire()
    assert "\n" not in str(caught.value) and path.read_text() == text
