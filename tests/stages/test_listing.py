"""Listing: assets of folders and lists, shards, limits, and the items that are done."""

import itertools
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from separator.results.done import DoneItems
from separator.results.latest import hash_ids
from separator.stages.listing import Listing, map_ahead, pack
from separator.storage import Storage
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
    done = DoneItems(np.empty(0, np.uint64)).add(array("Q", [1, 2**64 - 1])).add(array("Q", [2]))
    assert list(done.done) == [1, 2, 2**64 - 1]


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
