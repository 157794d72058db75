"""Marks of assets whose stems were withdrawn: when they go, and what they change."""

from dataclasses import replace

import numpy as np
import pytest

from separator.errors import StorageError
from separator.results.commit_file import CommitFile, pack_commit_file
from separator.results.done import DoneItems
from separator.results.latest import hash_ids
from separator.results.manifest import ManifestWriter, list_files
from separator.results.paths import Layout
from separator.results.withdrawn import list_marks, mark, name_mark
from separator.run.prepare import Target, prepare_target
from separator.stages.collect import Commit
from separator.stages.commit import Committer
from separator.storage import Storage
from tests.helpers.listing import make_config, make_library
from tests.helpers.records import make_record
from tests.helpers.rows import ASSET


def commit_all(folder, uris: list[str], marked=frozenset(), rows_per_file: int = 1_000) -> None:
    """Commit assets; no mark may go before the rows of its asset are in the manifest."""
    storage, layout = Storage(), Layout(str(folder), "flac")
    writer = ManifestWriter(storage, layout, "r", rows_per_file)
    before = list_marks(storage, layout)
    committing = Committer(storage, layout, writer, lambda _: None, lambda: None, marked)
    with committing as committer:
        for uri in uris:
            asset = replace(ASSET, uri=uri, path=uri)
            committer.commit(Commit(asset, [make_record(uri) | {"stem_uri": ""}]))
            committer.find_done()
            if not list_files(storage, layout):
                assert list_marks(storage, layout) == before


@pytest.mark.parametrize("rows_per_file", [1_000, 2])
def test_marks_go_when_the_rows_are_in_the_manifest(tmp_path, rows_per_file):
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    for uri in ("0", "1", "2", "elsewhere"):  # withdrawn by this run, or by one that was killed
        mark(storage, layout, uri, ["a"])
    withdrawn = CommitFile("0", [], (layout.stem("0", 0, "stem", "a"),))
    storage.write(layout.record("0"), pack_commit_file(withdrawn))
    mark(storage, layout, "2", ["b"])
    commit_all(tmp_path, ["0", "1", "2", "3"], {name_mark("1"), name_mark("2")}, rows_per_file)
    assert list_marks(storage, layout) == {name_mark("2"), name_mark("elsewhere")}


def test_a_run_that_fails_leaves_marks(tmp_path):
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    mark(storage, layout, "0", ["a"])
    (tmp_path / "manifest").write_text("a file where a folder has to be")
    with pytest.raises(StorageError, match="manifest"):
        commit_all(tmp_path, ["0"], {name_mark("0")})
    assert list_marks(storage, layout)


@pytest.fixture
def target(tmp_path, monkeypatch) -> Target:
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    return prepare_target(make_config(make_library(tmp_path), "model.device=cpu"), Storage())


def test_records_are_looked_into_for_marked_assets_only(target):
    """The manifest says that all is done; a killed run has withdrawn the records of two assets."""
    assets = list(target.list_assets())
    done = DoneItems(np.sort(hash_ids([item.id for asset in assets for item in asset.items])))
    marked = replace(target, marked={name_mark(asset.uri) for asset in assets[:2]})
    whole = [make_record(assets[0].uri, item.name, request=item.id) for item in assets[0].items]
    file = pack_commit_file(CommitFile(assets[0].uri, whole))
    target.storage.write(target.layout.record(assets[0].path), file)
    for each, pending in ((target, []), (marked, [assets[1]])):
        found = [left for _, left in each.list_pending(done, assets) if left is not None]
        assert found == pending


def test_a_mark_of_an_asset_that_is_done_after_all_goes_in_a_run(target):
    """A run was killed after its rows were written, and before it took the marks off."""
    asset, other = list(target.list_assets())[:2]
    done = DoneItems(np.sort(hash_ids([item.id for each in (asset, other) for item in each.items])))
    records = [make_record(asset.uri, item.name, request=item.id) for item in asset.items]
    file = pack_commit_file(CommitFile(asset.uri, records))
    target.storage.write(target.layout.record(asset.path), file)
    for each in (asset, other):
        mark(target.storage, target.layout, each.uri, [item.name for item in each.items])
    marked = replace(target, marked=list_marks(target.storage, target.layout))
    for settle, left in ((False, [asset, other]), (True, [other])):
        list(marked.list_pending(done, [asset, other], settle))
        names = {name_mark(each.uri) for each in left}
        assert list_marks(target.storage, target.layout) == names
