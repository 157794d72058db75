"""What is asked of which asset, from folders and lists; shards, limits, what is done already."""

import itertools
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from separator.errors import RequestError
from separator.results.manifest import hash_requests
from separator.results.paths import Layout
from separator.stages.extract import Extractor, SpanPlan
from separator.stages.listing import Known, collect_texts, list_assets, map_ahead, pack
from separator.stages.work import make_asked
from separator.storage import Storage
from tests.helpers.listing import (
    get_requests,
    leave_out,
    list_rows,
    make_config,
    make_library,
)


@pytest.fixture
def library(tmp_path):
    return make_library(tmp_path)


def test_a_folder(library):
    rows = list_rows(make_config(library))
    assert [row["asset_path"] for row in rows] == ["a.mp4", "b/c.WAV", "e.flac"]
    assert rows == list_rows(make_config(library))
    assert len(set(get_requests(rows))) == 6


@pytest.mark.parametrize(
    "override",
    [
        "queries=[another]", "queries=[{name: siren, text: other}]", "tracks=first",
        "model.channels=mono", "output.format=wav", "output.bit_depth=16", "output.clip=scale",
    ],
)  # fmt: skip
def test_what_changes_a_stem_is_another_request(library, override):
    before = set(get_requests(list_rows(make_config(library))))
    assert before - set(get_requests(list_rows(make_config(library, override))))


def test_what_changes_no_stem_is_the_same_request(library):
    config = make_config(library)
    same = ["run.span_s=8", "model.device=cpu", "run.actors=3", "storage.attempts=2"]
    assert list_rows(config) == list_rows(make_config(library, *same))
    (library / "in/a.mp4").write_bytes(b"new content")
    changed = get_requests(list_rows(config))
    assert sum(a != b for a, b in zip(changed, get_requests(list_rows(config, "t")), strict=True))
    other = get_requests(list_rows(make_config(library, "queries=[siren]")))
    assert not set(changed) & set(other)


def test_shards_are_parts_of_the_whole_and_limits_cut(library):
    whole = {row["asset_uri"] for row in list_rows(make_config(library))}
    parts = [
        {row["asset_uri"] for row in list_rows(make_config(library, f"run.shard={i}/3"))}
        for i in (1, 2, 3)
    ]
    assert set.union(*parts) == whole and sum(map(len, parts)) == len(whole)
    assert len(list_rows(make_config(library, "run.limit=2"))) == 2


def test_what_is_done_is_left_out_query_by_query(library):
    rows = list_rows(make_config(library))
    requests = get_requests(rows)
    left = leave_out(rows, requests[:3])
    assert [row["asset_path"] for row in left] == ["b/c.WAV", "e.flac"]
    assert get_requests(left) == requests[3:]
    assert leave_out(rows, requests) == []
    assert leave_out(rows, []) == rows


def test_only_what_is_wanted_is_left(library):
    rows = list_rows(make_config(library))
    requests = get_requests(rows)
    wanted = np.sort(hash_requests([requests[1], requests[4], requests[5]]))
    assert get_requests(leave_out(rows, [requests[4]], wanted)) == [requests[1], requests[5]]
    assert leave_out(rows, [], np.empty(0, np.uint64)) == []


def test_what_is_known_after_a_pass():
    known = Known(np.empty(0, np.uint64)).add({"1" * 32, "3" * 32}).add({"2" * 32})
    assert list(known.done) == [int(digit * 16, 16) for digit in "123"]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_list_says_what_is_asked_of_each_asset(library, kind):
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
    made = list_rows(config)
    texts = [[query["text"] for query in json.loads(row["queries"])] for row in made]
    usual = [query.text for query in config.parse_queries()]
    assert texts[:4] == [usual, ["rain", "a bell"], ["a siren, far away"], usual]
    assert [json.loads(row["tracks"]) for row in made[:4]] == ["all", [0, 2], "first", [0]]
    assert [json.loads(row["carried"])["licence"] or "" for row in made[:3]] == ["cc", "", "by"]
    assert [bool(row["trouble"]) for row in made] == [False] * 3 + [True] * 3
    assert "has no text" in made[3]["trouble"] and "no JSON" in made[4]["trouble"]
    assert "sometimes" in made[5]["trouble"]
    assert len(set(get_requests(made))) == len(get_requests(made))
    extractor = Extractor(Storage(), Layout(str(library / "out"), "flac"), SpanPlan(8, 0, 1))  # pyright: ignore
    for row in made[3:]:
        assert [span["error_code"] for span in extractor(row)] == ["bad_request"]
    # What has to be encoded is known before anything runs; what is bad is left for its row.
    assert collect_texts(Storage(), config) == [*usual, "rain", "a bell", "a siren, far away"]


def test_native_lists_of_queries_and_tracks(library):
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
    one, other = list_rows(config)
    assert [query["name"] for query in json.loads(one["queries"])] == ["rain", "a-bell"]
    assert one["tracks"] == "[1]" and not one["trouble"] and not one["carried"]
    assert "asks for anything" in other["trouble"]


def test_a_column_without_a_name_asks_for_nothing(library):
    """pandas writes one, its index, unless it is told not to."""
    pd.DataFrame({"uri": ["in/a.mp4", "in/e.flac"]}).to_csv(library / "list.csv")
    config = make_config(library, f"input.uri={library / 'list.csv'}")
    usual = [query.text for query in config.parse_queries()]
    for row in list_rows(config):
        assert [query["text"] for query in json.loads(row["queries"])] == usual
        assert row["tracks"] == '"all"' and not row["trouble"]


def test_a_column_that_is_not_there(library):
    (library / "list.csv").write_text("uri\nin/a.mp4\n")
    for override in ("input.queries_column=q", "input.tracks_column=q", "input.carry=[q]"):
        config = make_config(library, f"input.uri={library / 'list.csv'}", override)
        with pytest.raises(RequestError, match=r"'q': .*has the columns"):
            list_rows(config)


def test_the_first_row_of_an_asset_counts(library):
    (library / "list.txt").write_text("in/a.mp4\nin/e.flac\nin/a.mp4\n")
    config, twice = make_config(library, f"input.uri={library / 'list.txt'}"), []
    rows = list(list_assets(Storage(), config, make_asked(config, "s", {}), twice))
    assert [row["asset_path"].rpartition("/")[2] for row in rows] == ["a.mp4", "e.flac"]
    assert len(twice) == 1


class CountingStorage(Storage):
    def __init__(self) -> None:
        super().__init__()
        self.looked_at: list[str] = []

    def stat(self, uri: str):
        self.looked_at.append(uri)
        return super().stat(uri)


def test_a_shard_looks_at_its_own_assets_and_once(library):
    """However a list calls them."""
    again = f"file://{library}/in/a.mp4"
    (library / "list.txt").write_text(f"in/a.mp4\nin/e.flac\n{again}\nin/b/c.WAV\n")
    looked_at, twice = [], []
    for shard in ("1/2", "2/2"):
        config = make_config(library, f"input.uri={library / 'list.txt'}", f"run.shard={shard}")
        storage = CountingStorage()
        rows = list(list_assets(storage, config, make_asked(config, "s", {}), twice))
        found = [uri for uri in storage.looked_at if not uri.endswith("list.txt")]
        assert sorted(found) == sorted(row["asset_uri"] for row in rows)
        looked_at += found
    assert sorted(looked_at) == [f"{library}/in/{name}" for name in ("a.mp4", "b/c.WAV", "e.flac")]
    assert twice == [f"{library}/in/a.mp4"]


def test_small_assets_go_together(library):
    rows = [row | {"asset_bytes": n} for n in (5, 5, 50, 1, 1, 1, 1) for row in [{}]]
    packed = [[row["asset_bytes"] for row in unit] for unit in pack(iter(rows), 3, 20)]  # pyright: ignore
    assert packed == [[5, 5, 50], [1, 1, 1], [1]]
    assert list(pack(iter([]), 3, 20)) == []


def test_looking_ahead_keeps_the_order_and_its_distance():
    taken = []

    def count():
        for i in range(1_000):
            taken.append(i)
            yield i

    results = map_ahead(lambda i: i * i, count(), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 4] and len(taken) < 40
    assert list(results) == [i * i for i in range(3, 1_000)]


def test_a_list_with_all_kinds_of_trouble(library):
    names = ["in/a.mp4", "gone.mp4", "http://host/x.mp4", "s3://x", str(library / "in/e.flac")]
    (library / "list.csv").write_text("uri,licence\n" + "".join(f"{n},cc\n" for n in names))
    config = make_config(library, f"input.uri={library / 'list.csv'}")
    rows = list_rows(config)
    assert len(rows) == 5 and len({row["asset_path"] for row in rows}) == 5
    assert all(".." not in row["asset_path"].split("/") for row in rows)
    extractor = Extractor(Storage(), Layout(str(library / "out"), "flac"), SpanPlan(8, 0, 1))  # pyright: ignore
    codes = [list(extractor(row))[-1]["error_code"] for row in rows]
    assert codes == [
        "media_unreadable", "object_missing", "bad_request", "bad_request", "layout_unsupported",
    ]  # fmt: skip


def measure_resident_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.slow
def test_a_hundred_thousand_assets_in_flat_memory(tmp_path):
    """Half of them done, as the next run finds it."""
    (tmp_path / "in").mkdir()
    for i in range(100_000):
        (tmp_path / f"in/{i:05}.wav").touch()
    config = make_config(tmp_path)
    asked = make_asked(config, "s", {})
    first = itertools.islice(list_assets(Storage(), config, asked), 0, None, 2)
    known = Known(np.sort(hash_requests([r for row in first for r in get_requests([row])])))
    before_mb, started = measure_resident_mb(), time.monotonic()
    pending = map(known.leave_out, list_assets(Storage(), config, asked))
    assert sum(row is not None for row in pending) == 50_000
    assert measure_resident_mb() - before_mb < 20
    assert time.monotonic() - started < 60  # 10 s on 2 cores
