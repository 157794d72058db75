"""Rules of the names of an output that hold for every asset."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from separator.errors import RequestError
from separator.results.paths import LONGEST_PART_BYTES, disambiguate, make_asset_path
from separator.storage.uri import parse_uri
from tests.helpers.properties import examples, names, uris

OURS = re.compile(r"record\.json|\.parts|remux|track-\d+")


def check_path(path: str) -> None:
    """Check that it is a path below the output on every system, and no name of our own."""
    assert path.isprintable() or all(char >= " " for char in path), ascii(path)
    for part in path.split("/"):
        assert part not in ("", ".", "..") and not OURS.fullmatch(part), path
        assert len(part.encode()) <= LONGEST_PART_BYTES + 17
        assert not set(part) & set('\\:*?"<>|\0\n'), path


@examples(60)
@given(uris)
def test_a_path_stays_below_the_output(uri):
    # No file and no object has such a name.
    assume(not re.search("[\ud800-\udc7f\udd00-\udfff]", uri))
    path = make_asset_path(uri, None)
    check_path(path)
    told = disambiguate(path, uri)
    check_path(told)
    assert told != path and told.count("/") == path.count("/")


@examples(60)
@given(st.sampled_from(["/lib", "s3://bucket/x", "file:///lib//"]), names, names)
def test_paths_of_one_folder_are_as_different_as_its_assets(folder, one, other):
    try:
        first, second = (parse_uri(f"{folder}/{name}").uri for name in (one, other))
    except RequestError:
        return
    root = parse_uri(folder).uri.rstrip("/")
    paths = [make_asset_path(uri, folder) for uri in (first, second)]
    for path in paths:
        check_path(path)
    inside = all(uri.startswith(f"{root}/") and len(uri) > len(root) + 1 for uri in (first, second))
    if inside and "file://" not in first + second:
        assert (paths[0] == paths[1]) == (first == second)
