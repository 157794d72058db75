"""Pushes to the Hub, each in a process of its own: huggingface_hub reads the environment when it is
imported, and pytest runs with the Hub switched off."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from separator.errors import RequestError
from separator.export.push import MAX_BYTES, MAX_FILES, batch_files
from separator.export.shard_contents import ShardFile
from tests.helpers.export_library import export, make_config
from tests.helpers.hub_writes import WritableHub, make_environment, serve_writable_hub

CODE = """
import sys
from separator.errors import SeparatorError
from separator.export.shard_contents import Contents
from separator.export.push import open_repository, push
from separator.results.paths import ExportLayout
from separator.storage import Storage, StorageSettings

root, name, private, *settings = sys.argv[1:]
storage = Storage(StorageSettings(endpoint_url=settings[0]) if settings else None)
layout = ExportLayout(root)
indexes = [entry.uri for entry in storage.list(layout.indexes(), ["*.json"])]
contents = [Contents.from_json(storage.read(uri)) for uri in indexes]
try:
    push(open_repository(name, private == "True"), storage, layout, contents, print)
except SeparatorError as error:
    sys.exit(f"{error.code}: {error}")
"""


@pytest.fixture
def hub() -> Iterator[WritableHub]:
    with serve_writable_hub() as hub:
        yield hub


@pytest.fixture
def data_set(own_output, tmp_path) -> Path:
    """Three shards and more, with what describes them."""
    export(own_output, tmp_path / "set", "output.shard_mb=0.03", "split.valid=0.3")
    (tmp_path / "set/export.json").write_text('{"state": "finished"}\n')
    return tmp_path / "set"


def push(
    hub: WritableHub,
    root: Path | str,
    *settings: str,
    private: bool = True,
    said: str | None = None,
    **changes: str,
) -> str:
    """Push, and return what was printed; `said`: how the error begins."""
    home = str(Path(os.environ.get("TMPDIR", "/tmp")) / "unused-hub")
    environment = make_environment(dict(os.environ), hub.endpoint, home) | changes
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(root), hub.name, str(private), *settings],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == (said is not None), done.stderr[-3_000:]
    if said is not None:
        assert done.stderr.splitlines()[-1].startswith(said), done.stderr[-3_000:]
    return done.stdout


def read_folder(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def read_hub(hub: WritableHub) -> dict[str, bytes]:
    return {name: data for name, data in hub.files.items() if name != ".gitattributes"}


def test_push_creates_a_private_data_set_with_all_files(hub, data_set):
    printed = push(hub, data_set)
    assert hub.private is True
    assert read_hub(hub) == read_folder(data_set) and len(hub.files) > 10
    num_shards = len(list((data_set / "data").iterdir()))
    assert len(hub.uploads) == len(set(hub.uploads)) == num_shards > 3
    assert f"{num_shards} of {num_shards} files to upload" in printed


def test_push_called_again_sends_nothing_and_makes_no_commit(hub, data_set):
    push(hub, data_set)
    uploads, commits, files = list(hub.uploads), list(hub.commits), dict(hub.files)
    assert "0 of " in push(hub, data_set)
    assert (hub.uploads, hub.commits, hub.files) == (uploads, commits, files)


@pytest.mark.slow
@pytest.mark.check
def test_push_that_failed_goes_on_with_what_is_not_there(hub, data_set):
    hub.faults["PUT /lfs/"] = [403]
    push(hub, data_set, said="access_denied: output.hub='someone/sirens': the token may not write")
    hub.faults.clear()
    sent = list(hub.uploads)
    push(hub, data_set)
    assert read_hub(hub) == read_folder(data_set)
    assert len(hub.uploads) == len(set(hub.uploads)) and hub.uploads[: len(sent)] == sent


@pytest.mark.slow
@pytest.mark.check
def test_push_of_other_shards_replaces_those_of_before(hub, own_output, data_set):
    push(hub, data_set)
    before = set(read_hub(hub))
    export(own_output, data_set.with_name("two"), "split.valid=0")
    (data_set.with_name("two") / "export.json").write_text('{"state": "finished"}\n')
    push(hub, data_set.with_name("two"))
    assert read_hub(hub) == read_folder(data_set.with_name("two"))
    assert before - set(read_hub(hub))


@pytest.mark.slow
@pytest.mark.check
def test_push_reads_shards_from_s3(hub, moto_bucket, own_output, data_set):
    storage = moto_bucket.storage
    for name, data in read_folder(data_set).items():
        storage.write(f"{moto_bucket.uri}/set/{name}", data)
    push(hub, f"{moto_bucket.uri}/set", moto_bucket.settings.endpoint_url)
    assert read_hub(hub) == read_folder(data_set)


@pytest.mark.slow
@pytest.mark.check
@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("repos/create", 401, "access_denied: {}: the Hub does not accept the token"),
        ("repos/create", 403, "access_denied: {}: the token may not write there"),
        ("repos/create", 404, "bucket_missing: {}: no such owner or data set"),
        ("repos/create", 429, "throttled: {}: too many requests (429)"),
        ("commit/main", 500, "storage_busy: {}: the Hub failed (500"),
        ("commit/main", 400, "bad_request: {}: the Hub refused it (400"),
    ],
)
def test_answer_of_the_hub_becomes_one_line(hub, data_set, path, status, said):
    hub.faults[path] = [status]
    push(hub, data_set, said=said.format("output.hub='someone/sirens'"))


@pytest.mark.slow
@pytest.mark.check
def test_push_without_token_or_network_becomes_one_line(hub, data_set):
    where = "output.hub='someone/sirens'"
    push(hub, data_set, HF_TOKEN="", said=f"access_denied: {where}: ")
    push(hub, data_set, HF_HUB_OFFLINE="1", said=f"bad_request: {where}: HF_HUB_OFFLINE is set")
    closed = "http://127.0.0.1:9"
    push(hub, data_set, HF_ENDPOINT=closed, said=f"unreachable: {where}: the Hub cannot be reached")


@pytest.mark.slow
@pytest.mark.check
def test_push_refuses_repositories_of_others_and_public_ones(hub, data_set):
    hub.private, hub.files = True, {".gitattributes": b"", "data/mine.csv": b"1"}
    push(hub, data_set, said="bad_request: output.hub='someone/sirens': holds data/mine.csv, which")
    hub.private, hub.files = False, {".gitattributes": b""}
    push(hub, data_set, said="bad_request: output.hub='someone/sirens': is public; choose another")
    assert not hub.uploads and not hub.commits
    push(hub, data_set, private=False)
    assert read_hub(hub) == read_folder(data_set)


def test_files_are_committed_in_batches_of_bounded_size():
    sizes = [MAX_BYTES - 1, 1, 1, MAX_BYTES * 2, *[0] * (MAX_FILES + 1)]
    files = [ShardFile(str(i), int(size), "") for i, size in enumerate(sizes)]
    batches = list(batch_files(files))
    assert [file for batch in batches for file in batch] == files
    assert [len(batch) for batch in batches] == [2, 1, 1, MAX_FILES, 1]
    assert list(batch_files([])) == []


@pytest.mark.parametrize("name", ["sirens", "a/b/c", "https://huggingface.co/a/b", "/b", "a/"])
def test_name_that_is_none_of_the_hub_is_refused(own_output, name):
    with pytest.raises(RequestError, match=r"output\.hub=.*write owner/name"):
        make_config(own_output, f"output.hub={name}")


def test_place_on_the_hub_is_not_part_of_the_selection(own_output):
    given = ["output.hub=someone/sirens", "output.private=false"]
    assert make_config(own_output, *given).describe() == make_config(own_output).describe()
