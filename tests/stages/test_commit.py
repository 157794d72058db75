"""The committer: many assets at once, each written and counted; an error of one is raised."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from separator.errors import LockLost, ObjectMissing, StorageError
from separator.results.commit_file import CommitFile, pack_commit_file, read_commit_file
from separator.results.manifest import ManifestWriter, list_files
from separator.results.paths import Layout
from separator.stages.collect import Commit, Discard
from separator.stages.commit import MAX_WAITING, Committer
from separator.storage import Storage
from tests.helpers.records import make_record
from tests.helpers.rows import ASSET


def commit_all(folder: Path, number: int) -> list[str]:
    storage, layout, seen = Storage(), Layout(str(folder), "flac"), []
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with Committer(storage, layout, writer, lambda r: seen.append(r[0]["asset_uri"])) as committer:
        for i in range(number):
            asset = replace(ASSET, uri=f"{i}", path=f"{i}")
            committer.commit(Commit(asset, [make_record(f"{i}") | {"stem_uri": ""}]))
        assert len(committer.find_done()) == number, "it waits for all of them"
    assert len(list_files(storage, layout)) == 1
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


def list_left_by_a_lost_run(output: Path, num_well: int) -> list[str]:
    """Commit an asset under a lock that is lost after some checks; list the files that are left."""
    checks = iter([False] * num_well)

    def check() -> None:
        if next(checks, True):
            raise LockLost("its heartbeat expired")

    storage, layout = Storage(), Layout(str(output), "flac")
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with (
        pytest.raises(LockLost),
        Committer(storage, layout, writer, lambda _: None, check) as committer,
    ):
        committer.commit(Commit(ASSET, [make_record(ASSET.uri) | {"stem_uri": ""}]))
    return [path.name for path in output.rglob("*") if path.is_file()]


def test_committer_writes_nothing_for_a_run_that_lost_its_lock(tmp_path):
    assert list_left_by_a_lost_run(tmp_path, 0) == []


def test_committer_does_not_hide_the_error_that_ended_the_run(tmp_path, caplog):
    """By one of the manifest, which cannot be written for the same reason, or for another."""
    (tmp_path / "manifest").write_text("a file where a folder has to be")
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with (
        pytest.raises(RuntimeError, match="a bug"),
        Committer(storage, layout, writer, lambda _: None) as committer,
    ):
        committer.commit(Commit(ASSET, [make_record(ASSET.uri) | {"stem_uri": ""}]))
        committer.find_done()
        raise RuntimeError("a bug")
    assert "manifest" in caplog.text and "the next run adds the missing rows" in caplog.text


def test_committer_leaves_the_manifest_to_the_run_that_took_over(tmp_path):
    """That run finds the records beside the stems: its rows and these would be the same twice."""
    assert list_left_by_a_lost_run(tmp_path, 1) == ["record.json"]


def test_committer_writes_no_record_of_stems_that_are_gone(tmp_path):
    """Somebody deleted the output under the run: the next one has to make them again."""
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    writer = ManifestWriter(storage, layout, "r", 1_000)
    record = make_record(ASSET.uri) | {"stem_uri": f"{tmp_path}/stems/x.mp4/gone.flac"}
    with (
        pytest.raises(ObjectMissing, match=r"gone\.flac: no such file"),
        Committer(storage, layout, writer, lambda _: None) as committer,
    ):
        committer.commit(Commit(ASSET, [record]))
    assert not list(tmp_path.rglob("*.json"))


def test_committer_deletes_files_that_no_record_names(tmp_path):
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    folder = tmp_path / "stems/x.mp4"
    for name in ("kept", "orphan", "../elsewhere"):
        storage.write(f"{folder}/{name}", b"x")
    storage.write(layout.part("x.mp4", 0, "stem", "a", 0), b"x")
    record = make_record(ASSET.uri) | {"stem_uri": f"{folder}/kept"}
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with Committer(storage, layout, writer, lambda _: None) as committer:
        orphans = (f"{folder}/orphan", f"{tmp_path}/stems/elsewhere")
        committer.commit(Commit(ASSET, [record], orphan_uris=orphans))
    assert sorted(path.name for path in folder.iterdir()) == ["kept", "record.json"]
    assert (tmp_path / "stems/elsewhere").exists(), "of another asset: a record cannot delete it"


def test_committer_discards_parts_that_came_after_their_asset_was_committed(tmp_path):
    storage, layout = Storage(), Layout(str(tmp_path), "flac")
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with Committer(storage, layout, writer, lambda _: None) as committer:
        committer.commit(Commit(ASSET, [make_record(ASSET.uri) | {"stem_uri": ""}]))
        committer.find_done()
        storage.write(layout.part(ASSET.path, 0, "stem", "a", 0), b"late")
        committer.discard(Discard(ASSET))
    assert [path.name for path in (tmp_path / "stems/x.mp4").iterdir()] == ["record.json"]


def commit(folder: Path, order: Commit) -> list[dict]:
    """Commit once; return the records that the commit file holds then."""
    storage, layout = Storage(), Layout(str(folder), "flac")
    writer = ManifestWriter(storage, layout, "r", 1_000)
    with Committer(storage, layout, writer, lambda _: None) as committer:
        committer.commit(order)
    return read_commit_file(storage, layout.record(order.asset.path)).records


def test_a_failed_look_at_an_asset_leaves_its_stems_and_its_commit_file(tmp_path):
    stem = tmp_path / "stems/x.mp4/track-0/a.flac"
    stem.parent.mkdir(parents=True)
    stem.write_bytes(b"x")
    good = make_record(ASSET.uri) | {"stem_uri": str(stem)}
    commit(tmp_path, Commit(ASSET, [good]))
    unseen = replace(ASSET, etag="")
    failure = make_record(ASSET.uri, etag="", code="object_missing", track=-1)
    assert commit(tmp_path, Commit(unseen, [failure])) == [good] and stem.exists()
    # Without stems of earlier runs it is a failure like any other.
    other = replace(unseen, uri="/y.mp4", path="y.mp4")
    failure = make_record(other.uri, etag="", code="object_missing", track=-1)
    assert commit(tmp_path, Commit(other, [failure])) == [failure]


def test_files_that_a_killed_run_replaced_are_deleted_by_the_next_commit(tmp_path):
    """The run died after the commit file was written and before the files were deleted."""
    layout = Layout(str(tmp_path), "flac")
    paths = [tmp_path / f"stems/x.mp4/track-0/{name}.flac" for name in ("old", "kept", "again")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    old, kept, again = map(str, paths)
    record = make_record(ASSET.uri) | {"stem_uri": kept}

    file = CommitFile(ASSET.uri, [record], (old, again))

    def leave_behind() -> None:
        Storage().write(layout.record(ASSET.path), pack_commit_file(file))
        Path(old).write_bytes(b"x")

    leave_behind()
    new = make_record(ASSET.uri, "b") | {"stem_uri": again}
    assert len(commit(tmp_path, Commit(ASSET, [new]))) == 2
    assert [path.exists() for path in paths] == [False, True, True]
    leave_behind()
    renewed = record | {"created_at": "2026-02-01T00:00:00+00:00"}
    commit(tmp_path, Commit(ASSET, [renewed], is_new=False))
    assert [path.exists() for path in paths] == [False, True, False]
    assert Storage().read(layout.record(ASSET.path)) == pack_commit_file(file), "it says so already"
