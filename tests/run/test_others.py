"""Other runs on an output: their precision, and what those that did not end leave open."""

import pytest

from separator.errors import RequestError
from separator.run.others import (
    check_precision,
    close_unfinished,
    find_unfinished,
    hash_work,
    list_former_detection,
)
from separator.run.prepare import Target, prepare_target
from separator.storage import Storage
from tests.helpers.listing import make_config, make_library
from tests.helpers.runs import TOTALS, write_run


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    make_library(tmp_path)

    def make(*overrides: str) -> Target:
        config = make_config(tmp_path, "model.device=cpu", *overrides)
        return prepare_target(config, Storage())

    return make


def test_shards_that_come_to_different_precisions_at_once_are_refused(prepare):
    """Both look at an empty output, and then write their run files."""
    target = prepare()
    other = {"bf16": "fp32", "fp32": "bf16"}[target.config.model.precision]
    about: dict = {"precision": other, "config": {"model": {"precision": "auto"}}}
    write_run(target.layout, "1", **about)
    check_precision(target, "auto", "3", [])
    check_precision(target, "auto", "0", ["1"])  # the one that was first goes on
    check_precision(target, target.config.model.precision, "3", ["1"])
    with pytest.raises(RequestError, match=f"set model.precision={other}"):
        check_precision(target, "auto", "3", ["1"])


def list_open(target: Target, work: str = "") -> list[str]:
    doubtful, runs = find_unfinished(target, "6", work, ["5"])
    assert doubtful.is_doubtful is any(run.get("work") != work for run in runs)
    return [run["run_id"] for run in runs]


def test_runs_that_did_not_end_are_open_until_a_run_of_their_assets_ends(prepare):
    target = prepare()
    config = target.config.to_dict()
    elsewhere = config | {"input": config["input"] | {"uri": "/elsewhere"}}
    write_run(target.layout, "0", state="stopped", config=config, shard="")
    write_run(target.layout, "1", state="finished", all_closed=True, config=config)
    write_run(target.layout, "2", state="running", config=config, shard="")
    write_run(target.layout, "3", state="stopped", config=elsewhere, shard="")
    write_run(target.layout, "4", state="running", config=config, shard="1/2")
    write_run(target.layout, "5", state="running", config=config, shard="")
    _, found = find_unfinished(target, "6", "", ["5"])
    assert list_open(target) == ["4", "3", "2"], "the newest first; before 1 nothing is open"
    assert not close_unfinished(prepare("run.limit=1"), "6", found)
    assert list_open(target) == ["4", "3", "2"]
    assert not close_unfinished(target, "6", found)
    assert sorted(list_open(target)) == ["3", "4"]


def test_a_target_is_doubtful_after_an_unfinished_run_of_other_work_only(prepare):
    target = prepare()
    write_run(target.layout, "1", state="stopped", work="same")
    assert not find_unfinished(target, "2", "same", [])[0].is_doubtful
    assert find_unfinished(target, "2", "other", [])[0].is_doubtful


def test_nothing_is_left_open_where_every_run_ended(prepare):
    target = prepare()
    assert close_unfinished(target, "6", [])


def test_earlier_settings_of_detection_are_named(prepare):
    """Those of runs that made something, where no stem depends on them."""
    target, later = prepare("detect.threshold=0.9"), prepare("detect.threshold=0.2")
    write_run(target.layout, "1", config=target.config.to_dict())
    assert list_former_detection(target, "2") == [] and list_former_detection(later, "1") == []
    assert list_former_detection(later, "2") == ["detect.threshold=0.9"]
    assert list_former_detection(prepare("detect.gate=on"), "2") == [], "its stems are made again"
    older = {key: value for key, value in target.config.to_dict().items() if key != "detect"}
    write_run(target.layout, "0", config=older)  # of a version that did not detect
    write_run(target.layout, "1", config=target.config.to_dict(), totals=TOTALS | {"assets": 0})
    assert list_former_detection(later, "2") == []
    gated = prepare("detect.gate=on", "detect.threshold=0.9").config.to_dict()
    write_run(target.layout, "1", config=gated)
    assert list_former_detection(later, "2") == [], "stems of its own"


@pytest.mark.parametrize(
    ("override", "is_same"),
    [
        ("run.span_s=8", True), ("input.include=['*.mp4']", True), ("output.bit_depth=16", False),
        ("queries=[siren]", False), ("tracks=first", False), ("model.channels=each", False),
    ],
)  # fmt: skip
def test_hash_work_changes_with_what_changes_a_file(prepare, override, is_same):
    one, two = prepare(), prepare(override)
    hashes = [hash_work(each.config, each.storage, each.work) for each in (one, two)]
    assert (hashes[0] == hashes[1]) is is_same
