"""The committer: many assets at once, each written and counted; an error of one is raised."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from separator.errors import StorageError
from separator.results.manifest import ManifestWriter, list_files
from separator.results.paths import Layout
from separator.stages.collect import Commit
from separator.stages.commit import MAX_WAITING, Committer
from separator.storage import Storage
from tests.helpers.records import make_record
from tests.helpers.rows import ASSET


def commit_all(folder: Path, number: int) -> list[str]:
    storage, layout, seen = Storage(), Layout(str(folder), "flac"), []
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with Committer(storage, layout, writer, lambda r: seen.append(r[0]["asset_uri"])) as committer:
        for i in range(number):
            committer.commit(Commit(replace(ASSET, path=f"{i}"), [make_record(f"{i}")]))
    assert len(committer.done_ids) == number and len(list_files(storage, layout)) == 1
    return seen


def test_committer_writes_more_assets_than_may_wait(tmp_path):
    number = 5 * MAX_WAITING
    assert sorted(commit_all(tmp_path, number), key=int) == [str(i) for i in range(number)]
    paths = list(tmp_path.rglob("record.json"))
    uris = {json.loads(path.read_text())["asset_uri"] for path in paths}
    assert uris == {str(i) for i in range(number)}


def test_committer_raises_an_error_at_the_next_commit_or_at_the_end(tmp_path):
    (tmp_path / "stems").write_text("a file where a folder has to be")
    for number in (1, 3 * MAX_WAITING):
        with pytest.raises(StorageError):
            commit_all(tmp_path, number)


def test_committer_deletes_files_that_no_record_names(tmp_path):
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    for name in ("kept", "orphan"):
        storage.write(f"{tmp_path}/{name}", b"x")
    storage.write(layout.part("x.mp4", 0, "stem", "a", 0), b"x")
    record = make_record("x") | {"stem_uri": f"{tmp_path}/kept"}
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with Committer(storage, layout, writer, lambda _: None) as committer:
        committer.commit(Commit(ASSET, [record], orphan_uris=(f"{tmp_path}/orphan",)))
    assert (tmp_path / "kept").exists() and not (tmp_path / "orphan").exists()
    assert not (tmp_path / "stems/x.mp4/.parts").exists()
