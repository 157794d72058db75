"""What is made with what: a mix with its stems, the residual of all stems with all of them."""

import json

import pytest

from tests.helpers.listing import get_requests, leave_out, list_rows, make_config, make_library

MIXES = "output.renditions=[{name: m, gains_db: {siren: -6}}]"


@pytest.fixture
def library(tmp_path):
    return make_library(tmp_path)


def name_left(config, done: set[str]) -> list[list[str]]:
    """Of each asset, when the requests of these names are done."""
    rows = list_rows(config)
    items = [item for row in rows for item in json.loads(row["queries"])]
    left = leave_out(rows, [item["request"] for item in items if item["name"] in done])
    return [[item["name"] for item in json.loads(row["queries"])] for row in left]


def test_a_mix_is_made_with_its_stems(library):
    queries = "queries=[rain, siren, bell]"
    config = make_config(library, queries, MIXES)
    (first, *_) = list_rows(config)
    items = {item["name"]: item for item in json.loads(first["queries"])}
    assert [(i["kind"], i["needs"]) for i in items.values()] == [
        ("stem", []), ("stem", []), ("stem", []), ("rendition", ["siren"]),
    ]  # fmt: skip
    assert items["m"]["text"] == "siren -6 dB, the rest +0 dB"
    assert name_left(config, set(items)) == []
    assert name_left(config, {"rain", "siren", "bell"}) == [["siren", "m"]] * 3
    assert name_left(config, {"rain", "bell", "m"}) == [["siren"]] * 3
    # Another mix, or another text for what it is made of, is another request; stems stay.
    plain = make_config(library, queries)
    assert set(get_requests(list_rows(plain))) < set(get_requests(list_rows(config)))
    for other in (
        make_config(library, queries, MIXES.replace("-6", "-7")),
        make_config(library, "queries=[rain, {name: siren, text: alarm}, bell]", MIXES),
    ):
        assert get_requests(list_rows(other))[3] != items["m"]["request"]


def test_one_residual_of_all_stems_is_made_with_all_of_them(library):
    config = make_config(library, "queries=[rain, siren]", "output.residual=joint")
    assert name_left(config, {"rain"}) == [["rain", "siren"]] * 3
    assert name_left(config, {"rain", "siren"}) == []
    other = make_config(library, "queries=[rain, siren, bell]", "output.residual=joint")
    assert not set(get_requests(list_rows(config))) & set(get_requests(list_rows(other)))
    # A mix of one stem alone too: that residual is written again with it.
    mixed = make_config(library, "queries=[rain, siren]", "output.residual=joint", MIXES)
    assert name_left(mixed, {"rain", "siren"}) == [["rain", "siren", "m"]] * 3
    each = make_config(library, "queries=[rain, siren]", "output.residual=per_query")
    assert name_left(each, {"rain"}) == [["siren"]] * 3


def test_a_mix_of_what_this_asset_is_not_asked_for(library):
    (library / "list.csv").write_text("uri,q\nin/a.mp4,siren\nin/e.flac,rain\n")
    config = make_config(
        library, f"input.uri={library / 'list.csv'}", "input.queries_column=q", MIXES
    )
    one, other = list_rows(config)
    assert not one["trouble"] and "'m' needs the query 'siren'" in other["trouble"]
