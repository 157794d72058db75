"""Totals of a run as metrics."""

from separator.run.gauges import COUNTERS, count
from separator.run.stats import RunStats
from tests.helpers.records import make_record


def test_count_gives_every_counter_its_value_and_tag():
    stats = RunStats("r")
    own = {"kind": "stem", "run_id": "r", "duration_s": 2.0, "asset_bytes": 7}
    stats.count_records([make_record("x") | own])
    stats.failures["no_audio"] = 2
    stats.devices.fail("actor", "m GPU 0", ["a"], "no")
    stats.stage_s["separate"] = 1.5
    found = count(stats)
    assert {name for name, _ in found} == COUNTERS.keys()
    assert found["separator_assets", ""] == 1
    assert found["separator_asset_bytes", ""] == 7
    assert found["separator_failures", "no_audio"] == 2
    assert found["separator_device_failures", "m GPU 0"] == 1
    assert found["separator_stage_seconds", "separate"] == 1.5
    stats.failures["no_audio"] += 1
    assert count(stats) - found == {("separator_failures", "no_audio"): 1}
