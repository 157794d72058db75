"""Rows in any order, some twice, some failed: an asset is handed out once, when it is whole."""

import itertools
import json
import math

import pytest

from separator.stages.collect import Ledger
from tests.helpers.rows import ASSET, QUERIES, make_row


def test_an_asset_is_whole_when_all_its_tracks_and_queries_are_there():
    rows = [make_row(track, query, tracks=2) for track in (0, 1) for query in ("a", "b")]
    for order in itertools.permutations(rows):
        ledger = Ledger({"run_id": "r"})
        results = [ledger.add(row) for row in order]
        assert [records for _, records in results[:-1]] == [None] * 3
        records = results[-1][1]
        assert records is not None and len(records) == 4
        assert not ledger.open
    assert records[0]["energy_share"] == pytest.approx(50 / 100)
    assert records[0]["rms_db"] == pytest.approx(-6.02, abs=0.01)
    assert records[0]["peak_db"] == pytest.approx(-6.02, abs=0.01)
    assert records[0]["duration_s"] == 100 / 8_000
    assert [r["warning"] for r in records] == ["", "w", "", "w"]
    assert len({r["created_at"] for r in records}) == 1
    assert len({r["fingerprint"] for r in records}) == 4


def test_a_long_stem_is_assembled_when_all_its_parts_are_there():
    parts = [make_row(number=n, is_last=n == 2) for n in range(3)]
    for order in itertools.permutations(parts):
        ledger = Ledger({})
        assert ledger.add(make_row(query="b")) == (None, None)
        wholes = [ledger.add(row)[0] for row in [order[0], *order]]  # one comes twice
        assert [whole is not None for whole in wholes] == [False, False, False, True]
        whole = wholes[-1]
        assert whole is not None
        assert (whole["num_samples"], whole["energy"], whole["number"]) == (300, 150.0, 2)
        # Its time was told by its parts already.
        assert (whole["extract_s"], parts[0]["extract_s"]) == (0.0, 1.0)
        _, records = ledger.add(whole | {"stem_uri": "/out/0/a"})  # pyright: ignore
        assert records is not None and [r["num_samples"] for r in records] == [300, 100]


def test_similarity_is_weighed_by_energy_and_silence_says_nothing():
    values = [(0.5, 2.0), (0.1, 6.0), (math.nan, 4.0)]
    rows = [
        make_row(number=n, is_last=n == 2) | {"similarity": value, "energy": energy}
        for n, (value, energy) in enumerate(values)
    ]
    ledger = Ledger({})
    whole = [ledger.add(row)[0] for row in rows][-1]  # pyright: ignore[reportArgumentType]
    assert whole is not None and whole["similarity"] == pytest.approx(0.2)
    ledger.add(whole | {"stem_uri": "/a"})  # pyright: ignore[reportArgumentType]
    _, records = ledger.add(make_row(query="b"))
    assert records is not None
    assert [r["similarity"] for r in records] == [pytest.approx(0.2), None]
    assert [r["residual_similarity"] for r in records] == [None, None]


def test_a_track_that_fails_takes_no_other_along():
    ledger = Ledger({})
    # Some of the failing track came before it failed.
    ledger.add(make_row(0, "a", number=0, is_last=False, tracks=2))
    ledger.add(make_row(0, "", error="media_truncated", tracks=2))
    ledger.add(make_row(1, "a", tracks=2))
    _, records = ledger.add(make_row(1, "b", tracks=2))
    assert records is not None
    assert [(r["track_index"], r["status"]) for r in records] == [
        (0, "failed"), (0, "failed"), (1, "ok"), (1, "ok"),
    ]  # fmt: skip
    assert records[0]["error_code"] == "media_truncated" and records[0]["stem_uri"] == ""


def test_an_asset_that_fails_as_a_whole_fails_for_every_query():
    ledger = Ledger({})
    ledger.add(make_row(0, "a"))
    _, records = ledger.add(make_row(-1, "", error="object_changed"))
    assert records is not None
    assert [(r["query_name"], r["error_code"]) for r in records] == [
        ("a", "object_changed"), ("b", "object_changed"),
    ]  # fmt: skip
    # What comes late, from a worker that was replaced, changes nothing.
    assert ledger.add(make_row(0, "b")) == (None, None)


def test_what_was_done_before_is_passed_on():
    known = [{"query_name": "a", "run_id": "earlier"}]
    row = make_row() | {"records": json.dumps(known), "stem_uri": ""}
    assert Ledger({}).add(row) == (None, known)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("residual", ["per_query", "joint"])
def test_a_stem_is_whole_with_its_residual(residual):
    """In any order; each record names its residual, and how far off it is."""
    names = {"per_query": ["a", "b"], "joint": ["all"]}[residual]
    rests = [make_row(0, name, kind="residual", null=0.25) for name in names]
    for order in itertools.permutations([make_row(0, "a"), make_row(0, "b"), *rests]):
        ledger = Ledger({}, residual)
        results = [ledger.add(row)[1] for row in order]
        assert not any(results[:-1]) and not ledger.open and not ledger.orphans
        records = results[-1]
        assert records is not None
        wanted = [f"/out/0/residual/{name}" for name in names] * 2
        assert [r["residual_uri"] for r in records] == wanted[:2]
        assert [r["null_error"] for r in records] == [0.25, 0.25]


def test_a_residual_that_fails_takes_its_stem_along():
    ledger = Ledger({}, "per_query")
    for row in (make_row(0, "a"), make_row(0, "b"), make_row(0, "b", kind="residual")):
        assert ledger.add(row) == (None, None)
    _, records = ledger.add(make_row(0, "a", kind="residual", error="disk_full"))
    assert records is not None and [r["status"] for r in records] == ["failed", "ok"]
    assert records[0]["error_code"] == "disk_full" and records[0]["stem_uri"] == ""
    # What was written for it is not left lying about.
    assert ledger.orphans == {"/x.mp4": ["/out/0/a"]}


def test_a_mix_has_a_record_of_its_own():
    mix = {"kind": "rendition", "name": "m", "text": "a -6 dB", "request": "2" * 32, "warning": ""}
    asset = ASSET | {"queries": json.dumps([*QUERIES, mix])}
    ledger = Ledger({}, "none")
    for name in ("a", "b"):
        assert ledger.add(make_row(0, name, asset=asset)) == (None, None)
    _, records = ledger.add(make_row(0, "m", kind="rendition", asset=asset))
    assert records is not None
    found = [(r["kind"], r["query_name"], r["query_text"], r["null_error"]) for r in records]
    assert found[2] == ("rendition", "m", "a -6 dB", None) and found[0][0] == "stem"
    assert records[2]["stem_uri"] == "/out/0/rendition/m"


def test_each_mix_gets_its_film_before_the_asset_is_whole():
    """Of all tracks in one; a film that fails takes its mix along, and nothing else."""
    mixes = [
        {"kind": "rendition", "name": name, "text": name, "request": name * 32, "warning": ""}
        for name in ("m", "n")
    ]
    asset = ASSET | {"queries": json.dumps([*QUERIES, *mixes])}
    ledger = Ledger({}, remux=True)
    rows = [
        make_row(track, name, tracks=2, kind=kind, asset=asset)
        for track in (0, 1)
        for name, kind in (("a", "stem"), ("b", "stem"), ("n", "rendition"), ("m", "rendition"))
    ]
    *results, (film, records) = [ledger.add(row) for row in rows]
    assert not any(any(result) for result in results) and records is None and film is not None
    assert (film["kind"], film["query_name"], film["track_index"]) == ("remux", "m", -1)
    assert json.loads(film["track"]) == {"indexes": [0, 1]} and film["stem_uri"] == ""
    assert ledger.add(rows[0]) == (None, None)  # told twice: the film is not asked for again
    other, records = ledger.add(film | {"stem_uri": "/out/remux/m.mp4"})  # pyright: ignore
    assert records is None and other is not None and other["query_name"] == "n"
    failed = {"error_code": "encoder_failed", "error_stage": "remux", "error_detail": "so"}
    _, records = ledger.add(other | failed)  # pyright: ignore[reportArgumentType]
    assert records is not None
    found = {(r["track_index"], r["query_name"]): r for r in records}
    assert [found[i, "m"]["remux_uri"] for i in (0, 1)] == ["/out/remux/m.mp4"] * 2
    assert [found[i, "n"]["error_stage"] for i in (0, 1)] == ["remux"] * 2
    assert {r["status"] for r in records if r["query_name"] != "n"} == {"ok"}
    assert ledger.orphans == {"/x.mp4": ["/out/0/rendition/n", "/out/1/rendition/n"]}


def test_no_film_where_a_track_has_failed():
    mix = {"kind": "rendition", "name": "m", "text": "m", "request": "m" * 32, "warning": ""}
    asset = ASSET | {"queries": json.dumps([QUERIES[0], mix])}
    ledger = Ledger({}, remux=True)
    ledger.add(make_row(0, "a", tracks=2, asset=asset))
    ledger.add(make_row(0, "m", tracks=2, kind="rendition", asset=asset))
    film, records = ledger.add(make_row(1, "", tracks=2, error="media_truncated", asset=asset))
    assert film is None and records is not None
    assert not any(r["remux_uri"] for r in records)


def test_what_was_under_way_when_a_pass_ended_is_made_afresh():
    """A film whose maker died is asked for again; what was handed out stays closed."""
    mix = {"kind": "rendition", "name": "m", "text": "m", "request": "m" * 32, "warning": ""}
    asset = ASSET | {"queries": json.dumps([QUERIES[0], mix])}
    rows = [make_row(0, "a", asset=asset), make_row(0, "m", kind="rendition", asset=asset)]
    ledger = Ledger({}, remux=True)
    assert [ledger.add(row)[0] is None for row in rows] == [True, False]
    ledger.forget_open()
    _, (film, _) = [ledger.add(row) for row in rows]
    assert film is not None
    assert ledger.add(film | {"stem_uri": "/out/m.mp4"})[1] is not None  # pyright: ignore
    ledger.forget_open()
    assert ledger.add(rows[0]) == (None, None) and not ledger.open
