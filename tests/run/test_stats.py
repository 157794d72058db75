"""The totals of a run: assets, failures, seconds, and the share of time that devices work."""

import json

from separator.rows import RENDITION, Seconds
from separator.run.stats import CHECKING, SEPARATING, WARMING, ListingCounts, RunStats
from tests.helpers.records import make_record
from tests.helpers.rows import make_file


def make_rows(**changes) -> list[dict]:
    rows = [make_record("x", track=track) | {"kind": "stem", "run_id": "r"} for track in (0, 1)]
    return [row | {"duration_s": 2.0, "asset_bytes": 7} | changes for row in rows]


def test_count_records_adds_assets_stems_and_failures():
    stats = RunStats("r")
    stats.count_records(make_rows())
    stats.count_records(make_rows(kind=RENDITION))
    stats.count_records(make_rows(status="failed", error_code="no_audio"))
    stats.count_records(make_rows(run_id="earlier"))
    assert (stats.assets, stats.assets_failed, stats.assets_known) == (4, 1, 1)
    assert (stats.stems, stats.renditions, stats.audio_s) == (2, 2, 8.0)
    assert stats.failures == {"no_audio": 1}


def test_count_records_tells_what_is_heard_from_what_is_absent():
    stats = RunStats("r")
    stats.count_records(make_rows(presence=[{"start_s": 0.0, "stop_s": 1.0, "score": 0.9}]))
    stats.count_records(make_rows(presence=[]))
    for _ in range(2):
        stats.count_records(make_rows(status="absent", presence=[]))
    assert (stats.heard, stats.absent, stats.stems) == (2, 4, 4)
    assert (stats.audio_s, stats.asset_bytes) == (16.0, 28)


def test_device_busy_counts_the_actors_of_every_pass():
    stats = RunStats("r")
    assert stats.phase == CHECKING and stats.device_busy == 0
    for num_actors in (2, 1):
        stats.begin_pass(num_actors, 4)
        assert stats.phase == WARMING
        stats.pass_started -= 10
        stats.count_row(make_file(0, "a", seconds=Seconds(extract=1.0, separate=6.0)))
        assert stats.phase == SEPARATING
    assert stats.device_s >= 30 and stats.device_busy == 12 / stats.device_s
    assert (stats.num_actors, stats.num_cpus) == (2, 4)
    assert stats.stage_s == {"extract": 2.0, "separate": 12.0, "publish": 0.0}


def test_to_dict_is_json_with_the_totals():
    stats = RunStats("r")
    stats.count_records(make_rows(status="failed", error_code="no_audio"))
    totals = json.loads(json.dumps(stats.to_dict()))["totals"]
    assert totals["assets"] == 1 and totals["failures"] == {"no_audio": 1}


def test_assets_listed_counts_those_of_earlier_passes():
    """A second pass lists only what the first has not committed."""
    stats = RunStats("r")
    for num_listed, num_committed in ((5, 4), (1, 1)):
        stats.begin_pass(1, 4)
        assert stats.assets_listed == 0, "not known yet"
        stats.note_listing(ListingCounts(num_listed, 0, 0, 0))
        for _ in range(num_committed):
            assert stats.assets_listed == 5
            stats.count_records(make_rows())
    assert (stats.assets, stats.assets_listed) == (5, 5)
