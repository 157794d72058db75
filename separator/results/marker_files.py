"""Write the markers of all assets of an output."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import groupby
from typing import Any

from separator.results.found import list_found
from separator.results.markers import SUFFIXES, Frames, read_timecode, write_markers
from separator.results.paths import find_common_folder, make_asset_path
from separator.storage import Storage
from separator.storage.uri import join_uri


def write_marker_files(
    storage: Storage,
    rows: Iterable[dict[str, Any]],
    folder: str,
    form: str,
    min_score: float,
    fps: Fraction,
) -> int:
    """Write one file for each asset with a stretch; return their number. `rows`: of
    `read_presence`."""
    rows = list(rows)
    root = find_common_folder([row["asset_uri"] for row in rows])
    queries = sorted({row["query_name"] for row in rows})
    count = 0
    for uri, group in groupby(rows, key=lambda row: row["asset_uri"]):
        members = list(group)
        stretches = list(list_found(members, min_score))
        if not stretches:
            continue
        path = make_asset_path(uri, root)
        title = path.rpartition("/")[2]
        text = write_markers(form, title, stretches, find_frames(members[0], fps), queries)
        data = text.encode("utf-8", "surrogateescape")
        storage.write(join_uri(folder, path) + SUFFIXES[form], data)
        count += 1
    return count


def find_frames(row: Mapping[str, Any], fps: Fraction) -> Frames:
    """Take the frames of an asset's picture, and its time code."""
    rate = Fraction(row.get("frame_rate") or fps)
    return read_timecode(row["timecode"], rate) if row.get("timecode") else Frames(rate)
