"""Storage on local files, on moto's server and on Ceph's gateway."""

import itertools
import threading

import pytest

from separator.errors import (
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    RequestError,
    StorageError,
)
from separator.storage import Storage, StorageSettings, join_uri
from tests.helpers.storage_data import PART, make_bytes

ODD_NAMES = [
    "plain.wav",
    "with space.wav",
    "per%20cent.wav",
    "q?uestion#hash.wav",
    "plus+and&.wav",
    "ümläut-日本.wav",
    "a'b\"c.wav",
    "-dash.wav",
    "new\nline.wav",
]


@pytest.mark.parametrize("count", [0, 1, 1_000_000])
def test_read_and_fetch_return_what_was_written(folder, tmp_path, count):
    storage, root = folder
    uri, data = f"{root}/a/b/x.bin", make_bytes(count)
    storage.write(uri, data)
    assert storage.read(uri) == data
    entry = storage.fetch(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert entry.num_bytes == count
    assert entry == storage.stat(uri)
    with storage.on_disk(entry, tmp_path) as path:
        assert path.read_bytes() == data


def test_write_joins_a_stream_of_blocks(folder):
    storage, root = folder
    blocks = [make_bytes(n, n) for n in (3, 0, 1_000_000, 7_000_000, 1, 6_000_000)]
    storage = Storage(replace_part(storage.settings))
    storage.write(f"{root}/x.bin", iter(blocks))
    assert storage.read(f"{root}/x.bin") == b"".join(blocks)


def replace_part(settings: StorageSettings) -> StorageSettings:
    return StorageSettings(**(vars(settings) | {"part_bytes": PART}))


def test_write_replaces_and_changes_the_etag(folder):
    storage, root = folder
    storage.write(f"{root}/x", b"one")
    first = storage.stat(f"{root}/x")
    storage.write(f"{root}/x", b"other")
    assert storage.read(f"{root}/x") == b"other"
    assert storage.stat(f"{root}/x").etag != first.etag


def test_list_returns_odd_names_unchanged(folder):
    storage, root = folder
    # moto answers 404 to a key with a line break.
    names = ODD_NAMES[:-1] if is_moto(storage) else ODD_NAMES
    for name in names:
        storage.write(join_uri(root, "sub", name), name.encode())
    entries = list(storage.list(root))
    assert {storage.read(entry.uri).decode() for entry in entries} == set(names)
    for entry in entries:
        assert storage.stat(entry.uri) == entry
    expected = {join_uri(root, "sub", name) for name in names if "\n" not in name}
    assert expected <= {entry.uri for entry in entries}


def test_list_is_ordered_and_complete(folder):
    storage, root = folder
    names = ["a.wav", "b/c.wav", "b/d/e.MP4", "b.txt", "z.mp4"]
    for name in names:
        storage.write(join_uri(root, name), name.encode())
    entries = list(storage.list(root))
    assert sorted(e.uri for e in entries) == sorted(join_uri(root, n) for n in names)
    assert [e.uri for e in storage.list(root)] == [e.uri for e in entries]
    assert [e.num_bytes for e in storage.list(root, ["a.wav"])] == [5]
    found = [e.uri for e in storage.list(root, ["*.mp4"], ["z*"])]
    assert found == [join_uri(root, "b/d/e.MP4")]
    flat = [e.uri for e in storage.list(root, recursive=False)]
    assert sorted(flat) == sorted(join_uri(root, n) for n in ("a.wav", "b.txt", "z.mp4"))
    # A folder's name is no prefix: `b` is not `b.txt`, with and without the slash.
    for uri in (f"{root}/b", f"{root}/b/"):
        assert len(list(storage.list(uri))) == 2
    assert [e.uri for e in storage.list(f"{root}/b.txt")] == [join_uri(root, "b.txt")]


def test_list_takes_an_object_by_its_name_whatever_the_patterns(folder):
    """Patterns choose in a folder; without this, a run over one file would find nothing."""
    storage, root = folder
    uri = join_uri(root, "sub", ".talk.dat")
    storage.write(uri, b"sound")
    for include in (["*.mp4"], ["2026/*.mp4"]):
        assert [e.uri for e in storage.list(uri, include)] == [uri]
    assert list(storage.list(join_uri(root, "sub"), ["*.mp4"])) == []


def test_list_skips_folders_that_cannot_match(folder):
    given, root = folder
    for name in ("2026/11/20/a.wav", "2026/11/21/b.wav", "2026/11/21/deep/c.wav", "x/d.wav"):
        given.write(f"{root}/{name}", b"x")
    looked: list[str] = []

    class Looking(Storage):
        def _find(self, uri):
            store, place = super()._find(uri)
            whole = store.list

            def look(place, recursive):
                looked.append(place.uri.removeprefix(root) if recursive else "")
                return whole(place, recursive)

            store.list = look
            return store, place

    storage = Looking(given.settings)
    chosen = ["2026/11/21/**", "2026/11/22/*.wav"]
    found = [entry.uri.removeprefix(f"{root}/") for entry in storage.list(root, chosen)]
    assert found == ["2026/11/21/b.wav", "2026/11/21/deep/c.wav"]
    assert looked == ["", "/2026/11/21/", "/2026/11/22/"]
    assert len(list(given.list(root))) == 4


def test_missing_object_raises_and_delete_ignores_it(folder, tmp_path):
    storage, root = folder
    storage.write(f"{root}/x", b"")
    assert not storage.exists(f"{root}/y")
    for action in (
        lambda: storage.stat(f"{root}/y"),
        lambda: storage.read(f"{root}/y"),
        lambda: storage.fetch(f"{root}/y", tmp_path / "y"),
    ):
        with pytest.raises(ObjectMissing, match="/y: no such"):
            action()
    assert not (tmp_path / "y").exists()
    storage.delete(f"{root}/y")
    storage.delete(f"{root}/x")
    assert not storage.exists(f"{root}/x")


def test_clear_deletes_one_folder_only(folder):
    storage, root = folder
    for name in ("a/x", "a/b/y", "ab", "a.txt"):
        storage.write(join_uri(root, name), b"")
    storage.clear(f"{root}/a")
    assert [e.uri for e in storage.list(root)] == [f"{root}/a.txt", f"{root}/ab"]
    storage.clear(f"{root}/a")  # also where there is none
    storage.clear(f"{root}/absent/folder")


def test_fetch_refuses_an_object_that_changed(folder, tmp_path):
    storage, root = folder
    storage.write(f"{root}/x", b"1" * 100)
    entry = storage.stat(f"{root}/x")
    storage.write(f"{root}/x", b"2" * 100)
    with pytest.raises(ObjectChanged, match="/x"):
        storage.fetch(f"{root}/x", tmp_path / "copy", entry)
    with pytest.raises(ObjectChanged), storage.on_disk(entry, tmp_path):
        pass
    assert not (tmp_path / "copy").exists()


def test_write_leaves_nothing_after_a_failed_generator(folder):
    storage, root = folder
    storage = Storage(replace_part(storage.settings))
    storage.write(f"{root}/old", b"old")

    def fail(after: int):
        yield from itertools.repeat(b"x" * PART, after)
        raise ZeroDivisionError

    for after in (0, 1, 3):
        with pytest.raises(ZeroDivisionError):
            storage.write(f"{root}/new", fail(after))
        with pytest.raises(ZeroDivisionError):
            storage.write(f"{root}/old", fail(after))
    assert [e.uri for e in storage.list(root)] == [f"{root}/old"]
    assert storage.read(f"{root}/old") == b"old"


def test_write_if_absent_lets_one_writer_win(folder):
    storage, root = folder
    won, lost = [], []
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        barrier.wait()
        try:
            storage.write(f"{root}/x", str(number).encode(), if_absent=True)
            won.append(number)
        except ObjectExists:
            lost.append(number)

    threads = [threading.Thread(target=write, args=[i]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(won), len(lost)) == (1, 7)
    assert storage.read(f"{root}/x") == str(won[0]).encode()
    with pytest.raises(ObjectExists, match="exists already"):
        storage.write(f"{root}/x", b"late", if_absent=True)


def is_moto(storage: Storage) -> bool:
    return storage.settings.endpoint_url is not None and storage.settings.checksums != (
        "when_required"
    )


@pytest.mark.parametrize(
    "uri",
    ["", "http://x/y", "s3://", "s3://x", "s3:///key", "s3://../b", "file://host/x", "gs://b"],
)
def test_stat_refuses_what_is_no_uri(uri):
    with pytest.raises((RequestError, StorageError)):
        Storage().stat(uri)
