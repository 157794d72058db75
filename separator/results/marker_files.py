"""Write the markers of all assets of an output, and remove those of an earlier call.

`separator-markers.json` beside them lists what was written, by output and format: nothing else is
ever removed or overwritten.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import groupby
from typing import Any

from separator.errors import ObjectMissing, OutputDamaged, RequestError
from separator.results.found import Found, Presence, list_found
from separator.results.markers import SUFFIXES, Frames, read_timecode, write_markers
from separator.results.paths import find_file_name, make_asset_path
from separator.results.record import pack_json
from separator.storage import Storage
from separator.storage.uri import join_uri, parse_uri, show_uri

WRITTEN = "separator-markers.json"
Group = tuple[str, list[dict[str, Any]], list[Found]]


def write_marker_files(
    storage: Storage,
    presence: Presence,
    folder: str,
    form: str,
    min_score: float,
    fps: Fraction,
    output_uri: str = "",
) -> tuple[int, int]:
    """Write one file for each asset with a stretch; remove the other files that an earlier call
    with this format and output wrote. Return (files written, files removed).

    `output_uri`: keeps outputs apart that share the folder.
    """
    queries = sorted({row["query_name"] for row in presence.rows})
    found = list_groups(presence, min_score)
    groups = {path + SUFFIXES[form]: (members, stretches) for path, members, stretches in found}
    written = read_written(storage, folder)
    check_free(storage, folder, groups, list_names(written))
    forms = written.setdefault(name_output(output_uri), {})
    before = set(forms.get(form, []))
    forms[form] = sorted(before | set(groups))  # listed first: this call may stop half-way
    storage.write(join_uri(folder, WRITTEN), pack_json(written))
    for name, (members, stretches) in groups.items():
        title, frames = find_file_name(members[0]["asset_uri"]), find_frames(members[0], fps)
        duration_s = max(row.get("duration_s") or 0.0 for row in members)  # the longest track's
        text = write_markers(form, title, stretches, frames, queries, duration_s)
        storage.write(join_uri(folder, name), text.encode("utf-8", "surrogateescape"))
    forms[form] = sorted(groups)
    stale = [name for name in before - list_names(written) if is_ours(name, form)]
    for name in stale:
        storage.delete(join_uri(folder, name))
    storage.write(join_uri(folder, WRITTEN), pack_json(written))
    return len(groups), len(stale)


def list_groups(presence: Presence, min_score: float) -> Iterator[Group]:
    """List the path, the rows and the stretches of each asset that has a stretch. An asset has the
    same path whatever query or verdict was asked for."""
    for uri, group in groupby(presence.rows, key=lambda row: row["asset_uri"]):
        members = list(group)
        if stretches := list(list_found(members, min_score)):
            yield make_asset_path(uri, presence.root_uri), members, stretches


def read_written(storage: Storage, folder: str) -> dict[str, dict[str, list[str]]]:
    """Read the names of files that earlier calls wrote, by output and format."""
    uri = join_uri(folder, WRITTEN)
    written: dict[str, dict[str, list[str]]] = {}
    try:
        for key, forms in json.loads(storage.read(uri)).items():
            own = written.setdefault(name_output(key), {})
            for form, names in forms.items():
                own[form] = sorted({*own.get(form, []), *names})
    except ObjectMissing:
        return {}
    except (ValueError, TypeError, AttributeError, RequestError):
        raise OutputDamaged(f"{uri}: is no list of marker files; move it away") from None
    return written


def name_output(uri: str) -> str:
    """Write the URI of an output in one way, however it was spelled."""
    return parse_uri(uri).uri.rstrip("/") if uri else ""


def list_names(written: Mapping[str, Mapping[str, list[str]]]) -> set[str]:
    return {name for forms in written.values() for names in forms.values() for name in names}


def check_free(storage: Storage, folder: str, names: Iterable[str], own: set[str]) -> None:
    """Refuse to overwrite a file that no call of this command has written."""
    for uri in (join_uri(folder, name) for name in names if name not in own):
        if storage.exists(uri):
            raise RequestError(
                f"{show_uri(uri)}: is there already and is no marker file of ours ({WRITTEN} beside"
                " it does not list it); move it away, or choose another folder with --out"
            )


def is_ours(name: str, form: str) -> bool:
    """Tell whether a name could be one that this command wrote, and stays within the folder."""
    return name.endswith(SUFFIXES[form]) and not {"", ".", ".."} & set(name.split("/"))


def find_frames(row: Mapping[str, Any], fps: Fraction) -> Frames:
    """Read the frame rate of an asset's picture, and its time code."""
    rate = Fraction(row.get("frame_rate") or fps)
    return read_timecode(row["timecode"], rate) if row.get("timecode") else Frames(rate)
