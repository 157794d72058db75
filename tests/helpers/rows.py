"""Make rows as stages give them."""

import json

import numpy as np

from separator.audio.renditions import Product
from separator.rows import DoneRow
from separator.stages import extract, publish, separate

QUERIES = [
    {"kind": "stem", "name": name, "text": text, "request": digit * 32, "warning": warning}
    for name, text, digit, warning in (("a", "an a", "0", ""), ("b", "a b", "1", "w"))
]
ASSET = {
    "asset_uri": "/x.mp4", "asset_path": "x.mp4", "asset_etag": "e", "asset_bytes": 5,
    "modified_at": "2026-01-01T00:00:00+00:00", "queries": json.dumps(QUERIES), "tracks": '"all"',
    "trouble": "", "carried": "",
}  # fmt: skip


def make_row(
    track=0,
    query="a",
    number=0,
    is_last=True,
    tracks=1,
    error="",
    uri="?",
    kind="stem",
    null=0.0,
    asset=ASSET,
) -> DoneRow:
    span = extract.make_row(asset, num_tracks=tracks)  # pyright: ignore[reportArgumentType]
    span["track_index"], span["track"] = track, json.dumps({"rate_hz": 8_000, "language": "en"})
    span["number"], span["is_last"] = number, is_last
    span["error_code"], span["error_stage"] = error, "extract" if error else ""
    samples_CT, span["seconds"] = np.full((2, 100), 0.5, np.float32), 1.0
    row = publish.make_row(
        separate.make_row(span, Product(kind, query, samples_CT, null), energy_in=100.0), samples_CT
    )
    name = query if kind == "stem" else f"{kind}/{query}"
    whole = number == 0 and is_last and not error
    row["stem_uri"] = (f"/out/{track}/{name}" if uri == "?" else uri) if whole else ""
    return row
