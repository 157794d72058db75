"""Rows survive the way through Ray's tables and through JSON, whatever they hold."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from separator.errors import NoAudio
from separator.rows import (
    NO_TRACK,
    TYPES,
    AlreadyDone,
    AssetBatch,
    Remuxed,
    SpanRow,
    StemRow,
    fail,
    from_ray,
    read_json,
    to_json,
    to_ray,
)
from tests.helpers.rows import ASSET, make_file, make_part, make_rendition, make_track, replace

ODD_ASSET = replace(
    ASSET,
    uri="/a b/ü\udcff%.wav",
    tracks=[0, [1, 2]],
    items=(*ASSET.items, replace(make_rendition("m"), needs=("a", "b"))),
)
SAMPLES_CT = np.arange(6, dtype=np.float32).reshape(2, 3)
ROWS = [
    AssetBatch((ASSET, ODD_ASSET)),
    SpanRow(
        ODD_ASSET,
        replace(make_track(3), streams=(5, 3, 4)),
        4,
        number=2,
        is_last=False,
        samples=SAMPLES_CT,
    ),
    StemRow(ASSET, make_track(), 1, name="a", samples=SAMPLES_CT, similarity=0.5),
    make_file(0, "a", measures=replace(make_file(0, "a").measures, similarity=0.25)),
    make_part(1, False, replace(make_file(0, "a").measures, similarity=0.25)),
    Remuxed(ASSET, "m", "/out/m.mp4"),
    fail((ODD_ASSET, NO_TRACK, 1), NoAudio("nothing to hear"), "extract"),
    AlreadyDone(ASSET, ({"query_name": "a", "similarity": None},)),
]


def list_fields(row) -> dict:
    return {f.name: getattr(row, f.name) for f in dataclasses.fields(row) if f.name != "samples"}


def test_rows_cover_every_type():
    assert {type(row).__name__ for row in ROWS} == set(TYPES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_from_ray_gives_back_what_to_ray_took(row):
    table = pa.Table.from_pylist([{k: v for k, v in to_ray(row).items() if k != "samples"}])
    (ray_row,) = table.to_pylist()
    if hasattr(row, "samples"):
        ray_row["samples"] = to_ray(row, with_samples=True)["samples"]
    found = from_ray(ray_row)
    assert type(found) is type(row) and list_fields(found) == list_fields(row)
    if hasattr(row, "samples"):
        np.testing.assert_array_equal(found.samples, SAMPLES_CT)


def test_rows_without_samples_fill_a_column_of_samples():
    failed = to_ray(ROWS[6], with_samples=True)
    assert failed["samples"].shape == (0, 0) and failed["samples"].dtype == np.float32
    assert "samples" not in to_ray(ROWS[6])


def test_json_of_an_asset_is_read_back():
    text = to_json(ROWS[0])
    assert json.loads(text)["assets"][1]["uri"] == ODD_ASSET.uri
    assert read_json(AssetBatch, text) == ROWS[0]
