"""Other runs on an output: their precision, and their settings of detection."""

import threading

import pytest

from separator.errors import RequestError
from separator.run.others import check_precision, list_former_detection
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
    check_precision(target, "auto", [])  # the one that was first goes on
    check_precision(target, target.config.model.precision, ["1"])
    with pytest.raises(RequestError, match=f"set model.precision={other}"):
        check_precision(target, "auto", ["1"])


def test_a_shard_awaits_the_run_file_of_one_that_was_let_in_before(prepare):
    target = prepare()
    other = {"bf16": "fp32", "fp32": "bf16"}[target.config.model.precision]
    about: dict = {"precision": other, "config": {"model": {"precision": "auto"}}}
    writing = threading.Timer(0.6, lambda: write_run(target.layout, "1", **about))
    writing.start()
    with pytest.raises(RequestError, match=f"set model.precision={other}"):
        check_precision(target, "auto", ["1"])
    writing.join()


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
