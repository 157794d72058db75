"""Rows in any order, some twice, some failed: an asset is handed out once, when it is whole."""

import itertools
import json

import numpy as np
import pytest

from separator.ledger import Ledger
from separator.rows import DoneRow
from separator.stages import extract, publish, separate

QUERIES = [{"name": "a", "text": "an a", "request": "0" * 32, "warning": ""},
           {"name": "b", "text": "a b", "request": "1" * 32, "warning": "w"}]  # fmt: skip
ASSET = {
    "asset_uri": "/x.mp4", "asset_path": "x.mp4", "asset_etag": "e", "asset_bytes": 5,
    "modified_at": "2026-01-01T00:00:00+00:00", "queries": json.dumps(QUERIES), "tracks": '"all"',
    "trouble": "", "carried": "",
}  # fmt: skip


def make_row(track=0, query="a", number=0, is_last=True, tracks=1, error="", uri="?") -> DoneRow:
    span = extract.make_row(ASSET, num_tracks=tracks)  # pyright: ignore[reportArgumentType]
    span["track_index"], span["track"] = track, json.dumps({"rate_hz": 8_000, "language": "en"})
    span["number"], span["is_last"] = number, is_last
    span["error_code"], span["error_stage"] = error, "extract" if error else ""
    samples_CT, span["seconds"] = np.full((2, 100), 0.5, np.float32), 1.0
    row = publish.make_row(separate.make_row(span, query, samples_CT, energy_in=100.0), samples_CT)
    whole = number == 0 and is_last and not error
    row["stem_uri"] = (f"/out/{track}/{query}" if uri == "?" else uri) if whole else ""
    return row


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
