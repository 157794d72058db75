"""Folders of assets: whose they are, and commit files that are damaged."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from separator.errors import OutputDamaged, StorageError
from separator.results.commit_file import CommitFile, pack_commit_file, read_commit_file
from separator.results.folders import find_folder, read_folder, withdraw
from separator.results.manifest import ManifestWriter
from separator.results.paths import disambiguate, is_told_apart
from separator.results.withdrawn import list_marks, mark, name_mark, unmark
from separator.storage import Storage
from tests.helpers.records import make_record
from tests.helpers.rows import ASSET

OTHER = replace(ASSET, uri="/b/x.mp4")


def commit(output, asset, path: str) -> None:
    storage, layout = output
    record = make_record(asset.uri) | {"stem_uri": layout.stem(path, 0, "stem", "a")}
    storage.write(layout.record(path), pack_commit_file(CommitFile(asset.uri, [record])))
    writer = ManifestWriter(storage, layout, f"run-of-{path}", 10)
    writer.add([record])
    writer.flush()


def test_find_folder_keeps_the_path_of_the_first_asset_and_tells_the_next_apart(output):
    assert find_folder(*output, ASSET)[0] == ASSET
    commit(output, ASSET, ASSET.path)
    assert find_folder(*output, ASSET)[0] == ASSET and len(find_folder(*output, ASSET)[1].records)
    found, commit_file = find_folder(*output, OTHER)
    assert found.path == disambiguate("x.mp4", OTHER.uri) and not commit_file.records
    commit(output, OTHER, found.path)
    again, commit_file = find_folder(*output, OTHER)
    assert again.path == found.path and commit_file.records[0]["asset_uri"] == OTHER.uri
    assert find_folder(*output, again)[0] == again, "the path that was found stays"


@pytest.mark.parametrize("path", ["a/x.mp4", "x", "a.b/x", ".x", "a/x.tar.gz"])
def test_tell_apart_keeps_folder_and_suffix_and_differs_for_each_asset(path):
    one, two = disambiguate(path, "/a"), disambiguate(path, "/b")
    assert len({one, two, path}) == 3 and one.count("/") == path.count("/")
    assert Path(one).suffix == Path(path).suffix
    assert is_told_apart(one, "/a") and not is_told_apart(one, "/b")


DAMAGED = {
    "empty": b"",
    "cut": b'{"version": 1, "records": [{"asset',
    "a list": b"[]",
    "no asset": b'{"records": []}',
    "no records": b'{"asset_uri": "x"}',
    "no dicts": b'{"asset_uri": "x", "records": [1]}',
    "gaps": b'{"asset_uri": "x", "records": [{"asset_uri": "x", "track_index": 0}]}',
    "odd obsolete": b'{"asset_uri": "x", "records": [], "obsolete": [1]}',
    "no text": b"\xff\xfe",
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_commit_file_is_named_and_its_records_come_from_the_manifest(
    local_output, kind, caplog
):
    storage, layout = local_output
    commit(local_output, ASSET, ASSET.path)
    commit(local_output, replace(ASSET, uri="/y.mp4"), "y.mp4")
    uri = layout.record(ASSET.path)
    before = read_commit_file(storage, uri).records
    storage.write(uri, DAMAGED[kind])
    with pytest.raises(OutputDamaged, match=r"record\.json"):
        read_commit_file(storage, uri)
    with caplog.at_level(logging.WARNING):
        (found,) = read_folder(storage, layout, ASSET.path).records
    assert uri in caplog.text
    assert {key: found[key] for key in before[0] if key != "created_at"} == {
        key: value for key, value in before[0].items() if key != "created_at"
    }
    assert found["created_at"] == before[0]["created_at"].replace("+00:00", ".000000+00:00")


class CountingStorage(Storage):
    def __init__(self) -> None:
        super().__init__()
        self.num_read = 0

    def read(self, uri: str) -> bytes:
        self.num_read += uri.endswith(".parquet")
        return super().read(uri)


def test_many_damaged_commit_files_are_looked_up_in_the_manifest_at_once(local_output):
    storage, layout = CountingStorage(), local_output[1]
    assets = [replace(ASSET, uri=f"/{i}.mp4", path=f"{i}.mp4") for i in range(8)]
    for asset in assets:
        commit((storage, layout), asset, asset.path)
        storage.write(layout.record(asset.path), b"damaged")
    read_folder(storage, layout, assets[0].path)
    storage.num_read = 0
    for asset in assets:
        found = read_folder(storage, layout, asset.path)
        assert [found.asset_uri] == [r["asset_uri"] for r in found.records] == [asset.uri]
    assert storage.num_read == len(assets), "the one file that holds its rows"
    commit((storage, layout), OTHER, "new.mp4")
    storage.write(layout.record("new.mp4"), b"damaged")
    assert read_folder(storage, layout, "new.mp4").asset_uri == OTHER.uri, "the manifest has grown"


def test_withdraw_takes_out_what_is_about_to_be_made_in_another_way(output):
    storage, layout = output
    known, other = ASSET.items
    files = {
        item.name: make_record(ASSET.uri, item.name, request=item.id)
        | {"stem_uri": layout.stem(ASSET.path, 0, "stem", item.name)}
        for item in (known, replace(other, id="f" * 32))
    }
    third = make_record(ASSET.uri, "c")
    found = CommitFile(ASSET.uri, [*files.values(), third], ("gone",))
    withdraw(storage, layout, ASSET, found)
    left = read_commit_file(storage, layout.record(ASSET.path))
    assert [r["query_name"] for r in left.records] == ["a", "c"]
    assert set(left.obsolete_uris) == {"gone", files["b"]["stem_uri"]}
    before = storage.stat(layout.record(ASSET.path))
    withdraw(storage, layout, ASSET, left)
    assert storage.stat(layout.record(ASSET.path)) == before, "nothing left to withdraw"


def test_an_asset_is_marked_before_its_records_are_withdrawn(local_output):
    storage, layout = local_output
    stem_uri = layout.stem(ASSET.path, 0, "stem", "a")
    record = make_record(ASSET.uri, "a", request="f" * 32) | {"stem_uri": stem_uri}
    storage.write(layout.folder(ASSET.path), b"a file where a folder has to be")
    with pytest.raises(StorageError):
        withdraw(storage, layout, ASSET, CommitFile(ASSET.uri, [record]))
    assert list_marks(storage, layout) == {name_mark(ASSET.uri)}


def test_a_mark_stays_until_all_of_its_queries_are_settled(output):
    storage, layout = output
    assert list_marks(storage, layout) == set()
    unmark(storage, layout, ASSET.uri, ["a"])  # there is none
    mark(storage, layout, ASSET.uri, ["a", "b"])
    mark(storage, layout, ASSET.uri, ["c"])
    mark(storage, layout, OTHER.uri, ["a"])
    for name, is_left in (("a", True), ("c", True), ("b", False)):
        unmark(storage, layout, ASSET.uri, [name])
        assert (name_mark(ASSET.uri) in list_marks(storage, layout)) is is_left
    storage.write(layout.mark(name_mark(OTHER.uri)), b"damaged")
    unmark(storage, layout, OTHER.uri, ["a"])
    assert list_marks(storage, layout) == {name_mark(OTHER.uri)}, "looked into for ever"
