"""Listing: assets of folders and lists, shards, limits, and the items that are done."""

import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from separator.config import JobConfig
from separator.errors import RequestError, Unreachable
from separator.results.done import DoneItems
from separator.results.latest import hash_ids
from separator.results.paths import Layout, tell_apart
from separator.stages.extract import Extractor, SpanPlan
from separator.stages.listing import Listing, collect_texts, map_ahead, pack
from separator.storage import Entry, Storage
from tests.helpers.listing import (
    list_assets,
    list_ids,
    make_config,
    make_library,
    make_work_of,
    select_pending,
)
from tests.helpers.rows import ASSET


@pytest.fixture
def library(tmp_path):
    return make_library(tmp_path)


def test_listing_yields_every_media_file_of_a_folder(library):
    rows = list_assets(make_config(library))
    assert [row.path for row in rows] == ["a.mp4", "b/c.WAV", "e.flac"]
    assert rows == list_assets(make_config(library))
    assert len(set(list_ids(rows))) == 6


def test_shards_divide_the_listing_and_limits_cut_it(library):
    whole = {row.uri for row in list_assets(make_config(library))}
    parts = [
        {row.uri for row in list_assets(make_config(library, f"run.shard={i}/3"))}
        for i in (1, 2, 3)
    ]
    assert set.union(*parts) == whole and sum(map(len, parts)) == len(whole)
    assert len(list_assets(make_config(library, "run.limit=2"))) == 2


def test_select_pending_leaves_out_done_items_query_by_query(library):
    rows = list_assets(make_config(library))
    requests = list_ids(rows)
    left = select_pending(rows, requests[:3])
    assert [row.path for row in left] == ["b/c.WAV", "e.flac"]
    assert list_ids(left) == requests[3:]
    assert select_pending(rows, requests) == []
    assert select_pending(rows, []) == rows


def test_select_pending_keeps_only_wanted_items(library):
    rows = list_assets(make_config(library))
    requests = list_ids(rows)
    wanted = np.sort(hash_ids([requests[1], requests[4], requests[5]]))
    assert list_ids(select_pending(rows, [requests[4]], wanted)) == [requests[1], requests[5]]
    assert select_pending(rows, [], np.empty(0, np.uint64)) == []


def test_done_items_grow_by_those_of_a_pass():
    done = DoneItems(np.empty(0, np.uint64)).add({1, 2**64 - 1}).add({2})
    assert list(done.done) == [1, 2, 2**64 - 1]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_list_columns_set_queries_and_tracks_of_each_asset(library, kind):
    rows: list[dict] = [
        {"uri": "in/a.mp4", "q": None, "t": None, "licence": "cc"},
        {"uri": "in/e.flac", "q": '["rain", {"name": "b", "text": "a bell"}]', "t": "[0, 2]"},
        {"uri": "in/b/c.WAV", "q": "a siren, far away", "t": "first", "licence": "by"},
        {"uri": "in/b/d.txt", "q": '[{"name": "b"}]', "t": "0"},
        {"uri": "in/a.mp4?", "q": "[rain", "t": ""},
        {"uri": "in/x", "q": "rain", "t": "sometimes"},
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
    assert texts[:4] == [usual, ["rain", "a bell"], ["a siren, far away"], usual]
    assert [row.tracks for row in made[:4]] == ["all", [0, 2], "first", [0]]
    assert [json.loads(row.carried)["licence"] or "" for row in made[:3]] == ["cc", "", "by"]
    assert [bool(row.trouble) for row in made] == [False] * 3 + [True] * 3
    assert "has no text" in made[3].trouble and "not JSON" in made[4].trouble
    assert "sometimes" in made[5].trouble
    assert len(set(list_ids(made))) == len(list_ids(made))
    extractor = Extractor(Storage(), Layout(str(library / "out"), "flac"), SpanPlan(8, 0, 1))  # pyright: ignore
    for row in made[3:]:
        assert [span.code for span in extractor(row)] == ["bad_request"]
    # What has to be encoded is known before anything runs; what is bad is left for its row.
    assert collect_texts(Storage(), config) == [*usual, "rain", "a bell", "a siren, far away"]


def test_parquet_lists_set_queries_and_tracks(library):
    table = pa.table({
        "uri": ["in/a.mp4", "in/e.flac"],
        "q": [["rain", "a bell"], []],
        "t": [[1], None],
    })  # fmt: skip
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
    assert one.path == local[1:] and two.path == tell_apart(one.path, two.uri)
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
    "s3://user:hunter2@bucket/x.wav", "https://user:hunter2@host/x.wav",
    "https://bucket.host/x.wav?X-Amz-Signature=hunter2&a=b", "s3://bucket/x.wav?AWSAccessKeyId=hunter2",
    "https://host/x.wav?sig=hunter2",
]  # fmt: skip


@pytest.mark.parametrize("uri", SECRETS)
def test_secrets_of_a_list_reach_no_record(library, uri):
    (asset,) = list_assets(write_rows(library, {"uri": uri}))
    assert asset.trouble and "x.wav" in asset.uri
    assert "hunter2" not in json.dumps(asdict(asset))


def test_bad_entries_of_a_folder_are_assets_that_fail(library):
    (library / "in/circle.mp4").symlink_to(library / "in/circle.mp4")
    found = {asset.path: asset.trouble_code for asset in list_assets(make_config(library))}
    assert found == {"a.mp4": "", "b/c.WAV": "", "circle.mp4": "object_missing", "e.flac": ""}


class CountingStorage(Storage):
    def __init__(self) -> None:
        super().__init__()
        self.looked_at: list[str] = []

    def stat(self, uri: str):
        self.looked_at.append(uri)
        return super().stat(uri)


def test_a_shard_stats_its_own_assets_once(library):
    """However a list calls them."""
    again = f"file://{library}/in/a.mp4"
    (library / "list.txt").write_text(f"in/a.mp4\nin/e.flac\n{again}\nin/b/c.WAV\n")
    looked_at, num_duplicates = [], 0
    for shard in ("1/2", "2/2"):
        config = make_config(library, f"input.uri={library / 'list.txt'}", f"run.shard={shard}")
        storage = CountingStorage()
        listing = Listing(storage, config, make_work_of(config))
        rows = list(listing)
        num_duplicates += listing.num_duplicates
        found = [uri for uri in storage.looked_at if not uri.endswith("list.txt")]
        assert sorted(found) == sorted(row.uri for row in rows)
        looked_at += found
    assert sorted(looked_at) == [f"{library}/in/{name}" for name in ("a.mp4", "b/c.WAV", "e.flac")]
    assert num_duplicates == 1


def test_pack_groups_small_assets(library):
    rows = [replace(ASSET, num_bytes=n) for n in (5, 5, 50, 1, 1, 1, 1)]
    packed = [[row.num_bytes for row in unit] for unit in pack(iter(rows), 3, 20)]  # pyright: ignore
    assert packed == [[5, 5, 50], [1, 1, 1], [1]]
    assert list(pack(iter([]), 3, 20)) == []


def test_map_ahead_keeps_the_order_and_stays_close():
    taken = []

    def count():
        for i in range(1_000):
            taken.append(i)
            yield i

    results = map_ahead(lambda i: i * i, count(), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 4] and len(taken) < 40
    assert list(results) == [i * i for i in range(3, 1_000)]


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


def measure_resident_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.slow
def test_a_hundred_thousand_assets_are_listed_in_flat_memory(tmp_path):
    """Half of them done, as the next run finds it."""
    (tmp_path / "in").mkdir()
    for i in range(100_000):
        (tmp_path / f"in/{i:05}.wav").touch()
    config = make_config(tmp_path)
    listing = Listing(Storage(), config, make_work_of(config))
    first = itertools.islice(iter(listing), 0, None, 2)
    done = DoneItems(np.sort(hash_ids([i for row in first for i in list_ids([row])])))
    before_mb = measure_resident_mb()
    pending = map(done.select_pending, listing)
    assert sum(row is not None for row in pending) == 50_000
    assert measure_resident_mb() - before_mb < 20
