"""Write the markers of all assets of an output."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import groupby
from typing import Any

from separator.results.found import read_presence
from separator.results.markers import SUFFIXES, Frames, Marker, read_timecode, write_markers
from separator.results.paths import find_common_folder, make_asset_path
from separator.storage import Storage
from separator.storage.uri import join_uri, parse_uri


def write_marker_files(
    storage: Storage,
    output_uri: str,
    folder: str | None,
    form: str,
    query: str,
    min_score: float,
    fps: Fraction,
) -> tuple[int, str]:
    """Write one file for each asset with a stretch; return their number and their folder."""
    rows = read_presence(storage, output_uri, query)
    folder = folder or join_uri(parse_uri(output_uri).uri.rstrip("/"), "markers")
    root = find_common_folder([row["asset_uri"] for row in rows])
    count = 0
    for uri, group in groupby(rows, key=lambda row: row["asset_uri"]):
        members = list(group)
        markers = list(list_markers(members, min_score))
        if not markers:
            continue
        frames = find_frames(members[0], fps)
        path = make_asset_path(uri, root)
        text = write_markers(form, path.rpartition("/")[2], uri, markers, frames)
        data = text.encode("utf-8", "surrogateescape")
        storage.write(join_uri(folder, path) + SUFFIXES[form], data)
        count += 1
    return count, folder


def list_markers(rows: list[dict[str, Any]], min_score: float) -> Iterator[Marker]:
    for row in rows:
        for stretch in row["presence"]:
            if stretch["score"] >= min_score:
                yield Marker(
                    row["query_name"],
                    row["track_index"],
                    stretch["start_s"],
                    stretch["stop_s"],
                    stretch["score"],
                )


def find_frames(row: Mapping[str, Any], fps: Fraction) -> Frames:
    """Take the frames of an asset's picture, and its time code."""
    rate = Fraction(row.get("frame_rate") or fps)
    return read_timecode(row["timecode"], rate) if row.get("timecode") else Frames(rate)
