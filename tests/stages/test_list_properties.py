"""Rules of listing that hold for every list: each row becomes an asset or an asset that fails."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from separator.errors import RequestError
from separator.results.manifest import make_table
from separator.rows import NO_TRACK, Asset, fail
from separator.stages.collect import Collector, Commit
from separator.stages.listing import Listing
from separator.storage import Storage
from tests.helpers.listing import make_config, make_library, make_work_of
from tests.helpers.properties import any_text, examples, json_values, names, uris

COLUMNS = ("uri", "asks", "tracks", "note")
cells = (
    uris
    | names
    | json_values
    | st.sampled_from(["in/a.mp4", "in/e.flac", "[" * 1_100, "9" * 4_400, '["rain", "rain"]'])
    | json_values.map(json.dumps)
)
rows = st.fixed_dictionaries({"uri": uris | cells}, optional=dict.fromkeys(COLUMNS[1:], cells))
lines = st.binary(max_size=20) | rows.map(lambda row: json.dumps(row).encode())
languages = st.recursive(
    any_text | st.lists(json_values, max_size=2),
    lambda inner: st.fixed_dictionaries({"language": inner}, optional={"fallback": inner}),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Check what the listing makes of a list with the given content; return its assets."""
    folder = make_library(tmp_path_factory.mktemp("lists"))
    configs = {}

    def list_content(suffix: str, content: bytes) -> list[Asset]:
        path = folder / f"list{suffix}"
        path.write_bytes(content)
        if suffix not in configs:
            has_columns = suffix != ".txt"
            configs[suffix] = make_config(
                folder,
                f"input.uri={path}",
                *["input.queries_column=asks", "input.tracks_column=tracks"] * has_columns,
                *["input.carry=[note, uri]"] * has_columns,
            )
        listing = Listing(Storage(), configs[suffix], make_work_of(configs[suffix]))
        assets = list(listing)
        check(assets)
        return [*assets, *assets[:1] * listing.num_duplicates]

    return list_content


def check(assets: list[Asset]) -> None:
    assert len({asset.path for asset in assets}) == len({asset.uri for asset in assets})
    assert len({asset.path for asset in assets}) == len(assets)
    for asset in assets:
        assert not {"", ".", ".."} & set(asset.path.split("/"))
        assert asset.trouble.isprintable(), ascii(asset.trouble)
        assert asset.items
        # A failure is recorded in a table.
        collector = Collector({"run_id": "r"})
        error = RequestError(asset.trouble)
        (commit,) = collector.add(fail((asset, NO_TRACK, 1), error, "extract"))
        assert isinstance(commit, Commit) and len(make_table(commit.records)) == len(asset.items)


@examples(10)
@given(content=st.lists(lines, max_size=4))
def test_each_line_of_a_jsonl_list_comes_out(listed, content):
    data = b"\n".join(content)
    num_lines = len(list(io.TextIOWrapper(io.BytesIO(data), "utf-8", "replace", "")))
    try:
        assets = listed(".jsonl", data)
    except RequestError as error:  # no row names its asset
        assert str(error).isprintable()
        return
    assert len(assets) <= num_lines


@examples(10)
@given(content=st.lists(rows, max_size=4))
def test_each_row_of_a_jsonl_list_comes_out(listed, content):
    data = "".join(json.dumps(row) + "\n" for row in content).encode()
    assert len(listed(".jsonl", data)) == len(content)


@examples(10)
@given(content=st.lists(st.fixed_dictionaries({"uri": st.just("in/a.mp4"), "tracks": languages})))
def test_odd_tracks_fail_alone(listed, content):
    data = "".join(json.dumps(row) + "\n" for row in content).encode()
    assert len(listed(".jsonl", data)) == len(content)


@examples(10)
@given(content=st.lists(st.lists(cells.map(str), min_size=1, max_size=6), max_size=4))
def test_each_row_of_a_csv_list_comes_out(listed, content):
    sink = io.StringIO()
    csv.writer(sink).writerows([COLUMNS, *content])
    assert len(listed(".csv", sink.getvalue().encode("utf-8", "surrogatepass"))) == len(content)


@examples(10)
@given(content=st.binary(max_size=200) | st.lists(names).map("\n".join))
def test_each_line_of_a_text_list_comes_out(listed, content):
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    lines = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape", "")
    num_lines = sum(bool(line.strip()) for line in lines)
    assert len(listed(".txt", content)) == num_lines


@examples(10)
@given(
    content=st.lists(
        st.fixed_dictionaries(
            {
                "uri": st.none() | names.map(lambda name: name.encode("utf-8", "replace").decode()),
                "asks": st.none() | st.lists(st.none() | st.just("rain"), max_size=2),
                "tracks": st.none() | st.integers(-1, 2**31),
                "note": st.none() | st.binary(max_size=3) | st.datetimes() | st.floats(),
            }
        ),
        min_size=1,
        max_size=4,
    ),
    kind=st.sampled_from([bytes, type(None)]),
)
def test_each_row_of_a_parquet_list_comes_out(listed, content, kind):
    for row in content:
        row["note"] = row["note"] if isinstance(row["note"], kind) else None
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(content), sink)
    assert len(listed(".parquet", sink.getvalue())) == len(content)
