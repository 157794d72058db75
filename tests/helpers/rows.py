"""Make rows as stages give them."""

from dataclasses import replace
from typing import Any

from separator.rows import (
    NO_TRACK,
    RENDITION,
    STEM,
    Asset,
    Failed,
    Measures,
    PartWritten,
    Seconds,
    StemWritten,
    TrackInfo,
    WorkItem,
)

ITEMS = (
    WorkItem("0" * 32, STEM, "a", "an a"),
    WorkItem("1" * 32, STEM, "b", "a b", warning="w"),
)
ASSET = Asset("/x.mp4", "x.mp4", "e", 5, "2026-01-01T00:00:00+00:00", ITEMS)
MEASURES = Measures(num_channels=2, num_samples=100, energy=50.0, energy_in=100.0, peak=0.5)


def make_rendition(name: str) -> WorkItem:
    return WorkItem(name * 32, RENDITION, name, f"mix {name}")


def add_items(*items: WorkItem, asset: Asset = ASSET) -> Asset:
    return replace(asset, items=(*asset.items, *items))


def make_track(index: int = 0) -> TrackInfo:
    return TrackInfo(index, 8_000, 2, "stereo", "en")


def make_file(
    track: int, name: str, tracks: int = 1, kind: str = STEM, asset: Asset = ASSET, **more: Any
) -> StemWritten:
    """A file of one span that was written to its final key."""
    path = name if kind == STEM else f"{kind}/{name}"
    figures = {"uri": f"/out/{track}/{path}", "measures": MEASURES} | more
    return StemWritten(asset, make_track(track), tracks, kind=kind, name=name, **figures)


def make_part(number: int, is_last: bool, measures: Measures = MEASURES) -> PartWritten:
    return PartWritten(
        ASSET,
        make_track(),
        1,
        name="a",
        number=number,
        is_last=is_last,
        measures=measures,
        seconds=Seconds(extract=1.0),
    )


def make_failure(
    track: int, code: str, tracks: int = 1, asset: Asset = ASSET, **more: Any
) -> Failed:
    info = make_track(track) if track >= 0 else NO_TRACK
    about = {"stage": "extract", "detail": "a reason"} | more
    return Failed(asset, info, tracks, code=code, **about)
