"""Many assets committed at once: each is written, each is told of, an error of one is heard."""

import json
from pathlib import Path

import pytest

from separator.errors import StorageError
from separator.results.manifest import ManifestWriter, list_files
from separator.results.paths import Layout
from separator.stages.commit import MOST_WAITING, Committer
from separator.storage import Storage
from tests.helpers.records import make_record


def commit_all(folder: Path, number: int) -> list[str]:
    storage, layout, seen = Storage(), Layout(str(folder), "flac"), []
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with Committer(storage, layout, writer, lambda r: seen.append(r[0]["asset_uri"])) as committer:
        for i in range(number):
            asset: dict = {"asset_path": f"{i}"}
            committer.commit(asset, [make_record(f"{i}")], is_new=True)  # pyright: ignore
    assert len(committer.requests) == number and len(list_files(storage, layout)) == 1
    return seen


def test_more_than_may_wait(tmp_path):
    number = 5 * MOST_WAITING
    assert sorted(commit_all(tmp_path, number), key=int) == [str(i) for i in range(number)]
    paths = list(tmp_path.rglob("record.json"))
    uris = {json.loads(path.read_text())["asset_uri"] for path in paths}
    assert uris == {str(i) for i in range(number)}


def test_an_error_is_raised_where_the_next_is_asked_for_or_at_the_end(tmp_path):
    (tmp_path / "stems").write_text("a file where a folder has to be")
    for number in (1, 3 * MOST_WAITING):
        with pytest.raises(StorageError):
            commit_all(tmp_path, number)
