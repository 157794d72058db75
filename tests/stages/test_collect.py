"""The collector: outcomes in any order, some twice, some failed; each asset committed once."""

import itertools
import math
from dataclasses import replace

import pytest

from separator.results.record import make_fingerprint
from separator.results.schema import COLUMNS
from separator.rows import REMUX, RENDITION, RESIDUAL, AlreadyDone, Heard, Remuxed
from separator.stages.collect import Assemble, Collector, Commit, Discard, Remux
from tests.helpers.rows import (
    ASSET,
    ITEMS,
    MEASURES,
    add_items,
    make_failure,
    make_file,
    make_part,
    make_rendition,
    make_track,
)

BOTH = (make_track(0), make_track(1))


def add_all(collector: Collector, rows) -> list:
    return [command for row in rows for command in collector.add(row)]


def get_records(commands) -> list[dict]:
    (commit,) = commands
    assert isinstance(commit, Commit)
    return commit.records


def test_collector_commits_when_all_tracks_and_items_are_written():
    rows = [make_file(track, name, tracks=2) for track in (0, 1) for name in ("a", "b")]
    for order in itertools.permutations(rows):
        collector = Collector({"run_id": "r"})
        assert add_all(collector, order[:-1]) == []
        records = get_records(collector.add(order[-1]))
        assert len(records) == 4 and not collector.open
    assert records[0]["energy_share"] == pytest.approx(50 / 100)
    assert records[0]["rms_db"] == pytest.approx(-6.02, abs=0.01)
    assert records[0]["peak_db"] == pytest.approx(-6.02, abs=0.01)
    assert records[0]["duration_s"] == 100 / 8_000
    assert records[0]["run_id"] == "r" and records[0]["track_language"] == "en"
    assert [r["warning"] for r in records] == ["", "w", "", "w"]
    assert len({r["created_at"] for r in records}) == 1
    assert len({r["fingerprint"] for r in records}) == 4


def test_collector_waits_for_the_row_that_has_all_items_of_the_asset():
    whole = [make_file(track, name, tracks=2) for track in (0, 1) for name in ("a", "b")]
    rows = [whole[0], *(replace(row, asset=ASSET.keep_item(row.name)) for row in whole[1:])]
    for order in itertools.permutations(rows):
        collector = Collector({"run_id": "r"})
        assert add_all(collector, order[:-1]) == []
        (command,) = collector.add(order[-1])
        assert isinstance(command, Commit) and command.asset == ASSET
        assert [(r["track_index"], r["query_name"]) for r in command.records] == [
            (0, "a"),
            (0, "b"),
            (1, "a"),
            (1, "b"),
        ]


def test_collector_orders_assembly_when_all_parts_are_written():
    parts = [make_part(n, is_last=n == 2) for n in range(3)]
    for order in itertools.permutations(parts):
        collector = Collector({})
        assert collector.add(make_file(0, "b")) == []
        # One part comes twice, from a worker that died and was replaced.
        commands = [collector.add(row) for row in [order[0], *order]]
        assert [len(found) for found in commands] == [0, 0, 0, 1]
        (command,) = commands[-1]
        assert isinstance(command, Assemble) and (command.name, command.num_parts) == ("a", 3)
        assert (command.measures.num_samples, command.measures.energy) == (300, 150.0)
        whole = make_file(0, "a", measures=command.measures)
        assert [r["num_samples"] for r in get_records(collector.add(whole))] == [300, 100]


def test_collector_weighs_similarity_by_energy_and_ignores_silence():
    values = [(0.5, 2.0), (0.1, 6.0), (math.nan, 4.0)]
    collector = Collector({})
    (command,) = add_all(
        collector,
        (
            make_part(n, n == 2, replace(MEASURES, similarity=value, energy=energy))
            for n, (value, energy) in enumerate(values)
        ),
    )
    assert command.measures.similarity == pytest.approx(0.2)
    collector.add(make_file(0, "a", measures=command.measures))
    records = get_records(collector.add(make_file(0, "b")))
    assert [r["similarity"] for r in records] == [pytest.approx(0.2), None]
    assert [r["residual_similarity"] for r in records] == [None, None]


@pytest.mark.parametrize("rests", [(), ("a", "b"), ("all",)])
def test_collector_keeps_the_other_tracks_when_one_fails(rests):
    collector = Collector({}, ("none", "joint", "per_query")[len(rests)])
    rows = [
        replace(make_part(0, is_last=False), num_tracks=2),  # it came before its track failed
        make_failure(0, "media_truncated", tracks=2),
        make_file(1, "a", tracks=2),
        make_file(1, "b", tracks=2),
        *(make_file(1, name, tracks=2, kind=RESIDUAL) for name in rests),
    ]
    records = get_records(add_all(collector, rows))
    assert [(r["track_index"], r["status"]) for r in records] == [
        (0, "failed"),
        (0, "failed"),
        (1, "ok"),
        (1, "ok"),
    ]
    assert records[0]["error_code"] == "media_truncated" and records[0]["stem_uri"] == ""
    assert records[0]["error_detail"] == "a reason" and records[0]["rate_hz"] == 8_000


def test_collector_fails_every_item_when_the_asset_fails():
    collector = Collector({})
    collector.add(make_file(0, "a"))
    collector.add(Remuxed(ASSET, "m", "/out/m.mp4"))
    (commit,) = collector.add(make_failure(-1, "object_changed"))
    assert isinstance(commit, Commit) and commit.orphan_uris == ("/out/0/a", "/out/m.mp4")
    assert [(r["query_name"], r["error_code"]) for r in commit.records] == [
        ("a", "object_changed"),
        ("b", "object_changed"),
    ]
    # No record names a file that comes later.
    assert collector.add(make_file(0, "b")) == [Discard(ASSET, "/out/0/b")]
    assert collector.add(make_failure(0, "no_audio")) == []


def test_collector_ignores_late_files_of_an_asset_that_is_done():
    collector = Collector({})
    assert [collector.add(make_file(0, name)) for name in "ab"][1]
    assert collector.add(make_file(0, "b")) == []


def test_collector_discards_parts_that_come_after_their_asset_is_done():
    for rows in ([make_failure(-1, "object_changed")], [make_file(0, name) for name in "ab"]):
        collector = Collector({})
        assert get_records(add_all(collector, rows))
        late = make_part(0, is_last=False)
        assert collector.add(late) == [Discard(ASSET)]
        assert collector.add(replace(late, is_silent=True)) == [], "it was not written"


def test_collector_commits_an_asset_again_that_was_replaced_between_two_passes():
    changed = replace(ASSET, etag="another")
    collector = Collector({})
    assert get_records(add_all(collector, [make_file(0, name) for name in "ab"]))
    collector.drop_incomplete()
    (commit,) = add_all(collector, [make_file(0, name, asset=changed) for name in "ab"])
    assert isinstance(commit, Commit) and commit.asset == changed
    assert {record["asset_etag"] for record in commit.records} == {"another"}


def test_collector_passes_on_what_an_earlier_run_committed():
    known = dict.fromkeys(COLUMNS) | {"query_name": "a", "run_id": "earlier"}
    (commit,) = Collector({}).add(AlreadyDone(ASSET, (known,)))
    assert isinstance(commit, Commit) and not commit.is_new
    (record,) = commit.records
    assert record | {"created_at": None} == known and record["created_at"]


def test_records_are_newer_than_all_before_also_when_the_clock_was_set_back():
    year_2100_us = 4_102_444_800_000_000
    collector = Collector({}, last_commit_us=year_2100_us)
    commands = collector.add(make_failure(-1, "no_audio"))
    known = dict.fromkeys(COLUMNS)
    commands += collector.add(AlreadyDone(replace(ASSET, uri="/y.mp4"), (known,)))
    for command in commands:
        assert isinstance(command, Commit)
        assert {r["created_at"] for r in command.records} == {"2100-01-01T00:00:00.000001+00:00"}


@pytest.mark.parametrize("residual", ["per_query", "joint"])
def test_collector_waits_for_the_residual_of_each_stem(residual):
    names = {"per_query": ["a", "b"], "joint": ["all"]}[residual]
    measures = replace(MEASURES, null_error=0.25)
    rests = [make_file(0, name, kind=RESIDUAL, measures=measures) for name in names]
    for order in itertools.permutations([make_file(0, "a"), make_file(0, "b"), *rests]):
        collector = Collector({}, residual)
        assert add_all(collector, order[:-1]) == []
        (commit,) = collector.add(order[-1])
        assert isinstance(commit, Commit) and commit.orphan_uris == ()
        wanted = [f"/out/0/residual/{name}" for name in names] * 2
        assert [r["residual_uri"] for r in commit.records] == wanted[:2]
        assert [r["null_error"] for r in commit.records] == [0.25, 0.25]
        assert all("residual is over full scale" in r["warning"] for r in commit.records)


def test_collector_fails_a_stem_whose_residual_fails():
    collector = Collector({}, "per_query")
    rows = [make_file(0, "a"), make_file(0, "b"), make_file(0, "b", kind=RESIDUAL)]
    assert add_all(collector, rows) == []
    (commit,) = collector.add(make_failure(0, "disk_full", kind=RESIDUAL, name="a"))
    assert isinstance(commit, Commit)
    assert [r["status"] for r in commit.records] == ["failed", "ok"]
    assert commit.records[0]["error_code"] == "disk_full"
    assert commit.records[0]["stem_uri"] == "" and commit.orphan_uris == ("/out/0/a",)


def test_collector_gives_a_rendition_a_record_of_its_own():
    asset = add_items(make_rendition("m"))
    collector = Collector({})
    assert add_all(collector, [make_file(0, name, asset=asset) for name in ("a", "b")]) == []
    records = get_records(collector.add(make_file(0, "m", kind=RENDITION, asset=asset)))
    assert [r["kind"] for r in records] == ["stem", "stem", "rendition"]
    assert (records[2]["query_name"], records[2]["query_text"]) == ("m", "mix m")
    assert records[2]["stem_uri"] == "/out/0/rendition/m" and records[2]["null_error"] is None


def test_collector_orders_the_remux_of_each_rendition_before_it_commits():
    asset = add_items(make_rendition("m"), make_rendition("n"))
    collector = Collector({}, with_remux=True)
    rows = [
        make_file(track, name, tracks=2, kind=kind, asset=asset)
        for track in (0, 1)
        for name, kind in (("a", "stem"), ("b", "stem"), ("n", RENDITION), ("m", RENDITION))
    ]
    assert add_all(collector, rows) == [Remux(asset, "m", BOTH)]
    assert collector.add(rows[0]) == []  # it comes twice: the remux is not ordered again
    assert collector.add(Remuxed(asset, "m", "/out/remux/m.mp4")) == [Remux(asset, "n", BOTH)]
    failure = make_failure(-1, "encoder_failed", tracks=2, asset=asset, kind=REMUX, name="n")
    (commit,) = collector.add(replace(failure, stage="remux"))
    assert isinstance(commit, Commit)
    found = {(r["track_index"], r["query_name"]): r for r in commit.records}
    assert [found[i, "m"]["remux_uri"] for i in (0, 1)] == ["/out/remux/m.mp4"] * 2
    assert [found[i, "n"]["error_stage"] for i in (0, 1)] == ["remux"] * 2
    assert {r["status"] for r in commit.records if r["query_name"] != "n"} == {"ok"}
    # The mix itself stays.
    assert [found[i, "n"]["stem_uri"] for i in (0, 1)] == [f"/out/{i}/rendition/n" for i in (0, 1)]
    assert found[0, "n"]["num_samples"] == found[0, "m"]["num_samples"] > 0
    assert commit.orphan_uris == ()


def test_collector_orders_no_remux_where_a_track_has_failed():
    asset = replace(ASSET, items=(ITEMS[0], make_rendition("m")))
    collector = Collector({}, with_remux=True)
    rows = [
        make_file(0, "a", tracks=2, asset=asset),
        make_file(0, "m", tracks=2, kind=RENDITION, asset=asset),
        make_failure(1, "media_truncated", tracks=2, asset=asset),
    ]
    assert not any(r["remux_uri"] for r in get_records(add_all(collector, rows)))


def test_collector_orders_no_remux_of_a_mix_that_failed():
    asset = add_items(make_rendition("m"), make_rendition("n"))
    rows = [make_file(0, name, asset=asset) for name in "ab"]
    rows += [make_failure(0, "disk_full", asset=asset, kind=RENDITION, name="m")]
    rows += [make_file(0, "n", kind=RENDITION, asset=asset)]
    collector = Collector({}, with_remux=True)
    assert add_all(collector, rows) == [Remux(asset, "n", BOTH[:1])]
    records = get_records(collector.add(Remuxed(asset, "n", "/out/n.mp4")))
    assert [r["remux_uri"] for r in records] == ["", "", "", "/out/n.mp4"]


def test_drop_incomplete_orders_again_what_was_under_way():
    asset = replace(ASSET, items=(ITEMS[0], make_rendition("m")))
    rows = [make_file(0, "a", asset=asset), make_file(0, "m", kind=RENDITION, asset=asset)]
    collector = Collector({}, with_remux=True)
    assert add_all(collector, rows) == [Remux(asset, "m", BOTH[:1])]
    collector.drop_incomplete()
    assert add_all(collector, rows) == [Remux(asset, "m", BOTH[:1])]
    assert get_records(collector.add(Remuxed(asset, "m", "/out/m.mp4")))
    collector.drop_incomplete()
    assert collector.add(rows[0]) == [] and not collector.open


@pytest.mark.parametrize(("score", "wanted"), [(0.1, "c" * 32), (0.9, ITEMS[0].id)])
def test_a_stem_that_is_absent_on_all_tracks_has_the_id_of_every_threshold(score, wanted):
    asset = replace(ASSET, items=(replace(ITEMS[0], absent_id="c" * 32),))
    part = replace(make_part(0, is_last=True), asset=asset, num_tracks=2, is_silent=True)
    heard = (Heard("classes", 0.1), Heard("classes", score))
    rows = [replace(part, track=make_track(i), heard=heard[i]) for i in (0, 1)]
    records = get_records(add_all(Collector({}), rows))
    assert [r["request"] for r in records] == [wanted] * 2
    assert [r["fingerprint"] for r in records] == [make_fingerprint(wanted, i) for i in (0, 1)]


def test_records_tell_what_the_decoder_repaired():
    collector = Collector({})
    repairs = "2 gaps filled (0.1 s)"
    rows = [make_file(0, "a", repairs=repairs), make_file(0, "b", repairs=repairs)]
    assert [r["decode_warnings"] for r in get_records(add_all(collector, rows))] == [repairs] * 2
