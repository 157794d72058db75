"""Assets of lists: columns, odd rows, names, and rows that may not be read."""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from separator.config import JobConfig
from separator.errors import QueryError, RequestError, Unreachable
from separator.results.paths import Layout, disambiguate
from separator.stages.extract import Extractor, SpanPlan
from separator.stages.list_rows import read_queries
from separator.stages.listing import Listing, collect_texts
from separator.storage import Entry, Storage
from tests.helpers.listing import (
    list_assets,
    list_ids,
    make_config,
    make_library,
    make_work_of,
)


@pytest.fixture
def library(tmp_path):
    return make_library(tmp_path)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_list_columns_set_queries_and_tracks_of_each_asset(library, kind):
    rows: list[dict] = [
        {"uri": "in/a.mp4", "q": None, "t": None, "licence": "cc"},
        {"uri": "in/e.flac", "q": '["rain", {"name": "b", "text": "a bell"}]', "t": "[0, 2]"},
        {"uri": "in/b/c.WAV", "q": "a siren, far away", "t": "first", "licence": "by"},
        {"uri": "in/b/d.txt", "q": '[{"name": "b"}]', "t": "0"},
        {"uri": "in/a.mp4?", "q": "[rain", "t": ""},
        {"uri": "in/x", "q": "rain", "t": "sometimes"},
        {"uri": "in/y", "q": '[{"name": "b", "audio": "b.wav"}]', "t": ""},
    ]
    rows = [{"uri": "", "q": None, "t": None, "licence": None} | row for row in rows]
    path = library / f"list.{kind}"
    write = {"parquet": "to_parquet", "csv": "to_csv", "jsonl": "to_json"}[kind]
    options: dict = {"orient": "records", "lines": True} if kind == "jsonl" else {"index": False}
    getattr(pd.DataFrame(rows), write)(path, **options)
    columns = ["input.queries_column=q", "input.tracks_column=t", "input.carry=[licence]"]
    config = make_config(library, f"input.uri={path}", *columns)
    made = list_assets(config)
    texts = [[item.text for item in row.items] for row in made]
    usual = [query.text for query in config.parse_queries()]
    assert texts[:3] == [usual, ["rain", "a bell"], ["a siren, far away"]]
    # A cell that cannot be read asks for nothing, not for what the config asks for.
    assert texts[3:] == [[""]] * 4
    assert [row.tracks for row in made[:4]] == ["all", [0, 2], "first", [0]]
    assert [json.loads(row.carried)["licence"] or "" for row in made[:3]] == ["cc", "", "by"]
    assert [bool(row.trouble) for row in made] == [False] * 3 + [True] * 4
    assert "has no text" in made[3].trouble and "not JSON" in made[4].trouble
    assert "sometimes" in made[5].trouble
    assert "query 'b': a list's own queries are texts; sounds and images" in made[6].trouble
    assert len(set(list_ids(made))) == len(list_ids(made))
    extractor = Extractor(Storage(), Layout(str(library / "out"), "flac"), SpanPlan(8, 0, 1))  # pyright: ignore
    for row in made[3:]:
        assert [span.code for span in extractor(row)] == ["bad_request"]
    # What has to be encoded is known before anything runs; what is bad is left for its row.
    assert collect_texts(Storage(), config) == [*usual, "rain", "a bell", "a siren, far away"]


def test_parquet_lists_set_queries_and_tracks(library):
    table = pa.table(
        {
            "uri": ["in/a.mp4", "in/e.flac"],
            "q": [["rain", "a bell"], []],
            "t": [[1], None],
        }
    )
    pq.write_table(table, library / "list.parquet")
    config = make_config(
        library,
        f"input.uri={library / 'list.parquet'}",
        "input.queries_column=q",
        "input.tracks_column=t",
        "queries=[]",
    )
    one, other = list_assets(config)
    assert [item.name for item in one.items] == ["rain", "a-bell"]
    assert one.tracks == [1] and not one.trouble and not one.carried
    assert "has a query for it" in other.trouble


def test_cells_of_blanks_and_of_bytes(library):
    """Blanks around a comma are no queries; some writers of Parquet mark no column as text."""
    (library / "list.csv").write_text("uri, q, t\nin/a.mp4, ,  \nin/e.flac, rain , first \n")
    columns = ["input.queries_column=' q'", "input.tracks_column=' t'"]
    config = make_config(library, f"input.uri={library / 'list.csv'}", *columns)
    usual = [query.text for query in config.parse_queries()]
    blank, given = list_assets(config)
    assert [item.text for item in blank.items] == usual
    assert blank.tracks == "all" and not blank.trouble
    assert [item.text for item in given.items] == ["rain"] and given.tracks == "first"

    table = pa.table({"uri": ["in/a.mp4", "in/e.flac"], "t": [b"1", None]})
    pq.write_table(table, library / "list.parquet")
    config = make_config(library, f"input.uri={library / 'list.parquet'}", "input.tracks_column=t")
    binary, empty = list_assets(config)
    assert binary.trouble_code == "bad_request" and "b'1': is binary" in binary.trouble
    assert not empty.trouble


def test_a_column_without_a_name_is_ignored(library):
    """pandas writes one, its index, unless it is told not to."""
    pd.DataFrame({"uri": ["in/a.mp4", "in/e.flac"]}).to_csv(library / "list.csv")
    config = make_config(library, f"input.uri={library / 'list.csv'}")
    usual = [query.text for query in config.parse_queries()]
    for row in list_assets(config):
        assert [item.text for item in row.items] == usual
        assert row.tracks == "all" and not row.trouble


def test_listing_refuses_a_column_that_the_list_lacks(library):
    (library / "list.csv").write_text("uri\nin/a.mp4\n")
    for override in ("input.queries_column=q", "input.tracks_column=q", "input.carry=[q]"):
        config = make_config(library, f"input.uri={library / 'list.csv'}", override)
        with pytest.raises(RequestError, match=r"'q': .*has the columns"):
            list_assets(config)


def test_listing_keeps_the_first_row_of_an_asset(library):
    (library / "list.txt").write_text("in/a.mp4\nin/e.flac\nin/a.mp4\n")
    config = make_config(library, f"input.uri={library / 'list.txt'}")
    listing = Listing(Storage(), config, make_work_of(config))
    rows = list(listing)
    assert [row.path.rpartition("/")[2] for row in rows] == ["a.mp4", "e.flac"]
    assert listing.num_duplicates == 1


def write_rows(folder: Path, *lines: object) -> JobConfig:
    """A JSONL list: texts as they are, all else as JSON."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "list.jsonl").write_text("\n".join(texts))
    return make_config(folder, f"input.uri={folder}/list.jsonl", "input.carry=[note]")


def test_odd_rows_of_a_list_fail_alone_under_the_name_of_their_row(library):
    odd = [
        '{"uri": ', "7", "null", "[1]", "[" * 100_000, {"path": "in/a.mp4"}, {"uri": None},
        {"uri": 5}, {"uri": ""}, {"uri": ["in/a.mp4"]}, '{"uri": "\\ud800.wav"}',
        '{"uri": "in/a\\u0000.mp4"}',
    ]  # fmt: skip
    config = write_rows(library, {"uri": "in/a.mp4", "note": float("nan")}, *odd)
    first, *failed = list_assets(config)
    assert not first.trouble and first.carried == '{"note": null}'
    assert [asset.trouble_code for asset in failed] == ["bad_request"] * len(odd)
    list_uri = f"{library}/list.jsonl"
    named = [asset.uri for asset in failed[:-1]]
    assert named == [f"{list_uri}#row-{number}" for number in range(2, 13)]
    assert all(asset.trouble.isprintable() for asset in failed)
    assert all(len(asset.items) == 2 for asset in failed), "one record for each query"


def test_a_list_of_odd_rows_alone_is_listed(library):
    failed = list_assets(write_rows(library, "1", "2"))
    assert [asset.trouble_code for asset in failed] == ["bad_request"] * 2


def test_assets_of_a_list_never_share_a_path(library):
    """An object and a file may have one name but for the scheme."""
    local = f"/bucket/{library.name}/x.wav"
    both = [{"uri": f"s3:/{local}"}, {"uri": local}, {"uri": f"s3:/{local}"}, {"uri": local}]
    config = write_rows(library, *both)
    listing = Listing(DeafStorage(), config, make_work_of(config))
    one, two = listing
    assert one.path == local[1:] and two.path == disambiguate(one.path, two.uri)
    assert listing.num_duplicates == 2


class DeafStorage(Storage):
    """Fails to look at an object, as a store does that is away."""

    def stat(self, uri: str) -> Entry:
        if uri.startswith("s3://") and "list" not in uri:
            raise Unreachable(f"{uri}: nobody answers")
        return super().stat(uri)


def test_an_asset_that_storage_cannot_look_at_keeps_the_reason(library):
    config = write_rows(library, {"uri": "s3://bucket/x.wav"}, {"uri": "in/a.mp4"})
    unseen, seen = Listing(DeafStorage(), config, make_work_of(config))
    assert (unseen.trouble_code, unseen.etag) == ("unreachable", "") and not seen.trouble
    extractor = Extractor(Storage(), Layout(str(library / "out"), "flac"), SpanPlan(8, 0, 1))  # pyright: ignore
    (row,) = extractor(unseen)
    assert (row.code, row.detail) == ("unreachable", "s3://bucket/x.wav: nobody answers")


def test_a_list_on_s3_names_local_files_only_if_it_may(library, moto_bucket):
    storage, uri = moto_bucket.storage, f"{moto_bucket.uri}/list.txt"
    storage.write(uri, f"{library}/in/a.mp4\n".encode())
    for value, may in (("auto", False), ("true", True), ("false", False)):
        config = make_config(library, f"input.uri={uri}", f"input.allow_local={value}")
        (asset,) = Listing(storage, config, make_work_of(config))
        assert bool(asset.trouble) is not may and ("allow_local=true" in asset.trouble) is not may
    config = make_config(library, f"input.uri={library}/list.txt", "input.allow_local=false")
    (library / "list.txt").write_text("in/a.mp4\n")
    assert "allow_local" in list_assets(config)[0].trouble


SECRETS = [
    "s3://user:hunter2@bucket/x.wav",
    "https://user:hunter2@host/x.wav",
    "https://bucket.host/x.wav?X-Amz-Signature=hunter2&a=b",
    "s3://bucket/x.wav?AWSAccessKeyId=hunter2",
    "https://host/x.wav?sig=hunter2",
]


@pytest.mark.parametrize("uri", SECRETS)
def test_secrets_of_a_list_reach_no_record(library, uri):
    (asset,) = list_assets(write_rows(library, {"uri": uri}))
    assert asset.trouble and "x.wav" in asset.uri
    assert "hunter2" not in json.dumps(asdict(asset))


def test_rows_that_cannot_be_read_become_assets_that_fail(library):
    names = ["in/a.mp4", "gone.mp4", "http://host/x.mp4", "s3://x", str(library / "in/e.flac")]
    (library / "list.csv").write_text("uri,licence\n" + "".join(f"{n},cc\n" for n in names))
    config = make_config(library, f"input.uri={library / 'list.csv'}")
    rows = list_assets(config)
    assert len(rows) == 5 and len({row.path for row in rows}) == 5
    assert all(".." not in row.path.split("/") for row in rows)
    extractor = Extractor(Storage(), Layout(str(library / "out"), "flac"), SpanPlan(8, 0, 1))  # pyright: ignore
    codes = [list(extractor(row))[-1].code for row in rows]
    assert codes == [
        "media_unreadable", "object_missing", "bad_request", "bad_request", "layout_unsupported",
    ]  # fmt: skip


def test_classes_in_a_list_are_refused_because_nothing_would_listen_by_them():
    with pytest.raises(QueryError, match="query 'siren': a list's own queries have no classes"):
        read_queries('[{"text": "siren", "classes": ["alarm"]}]')
