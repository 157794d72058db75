"""Storage on a file system."""

import contextlib
import errno
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from separator.errors import AccessDenied, DiskFull, ObjectChanged, ObjectMissing, StorageError
from separator.storage import Storage
from separator.storage.local import explain
from tests.helpers.users import call_as_nobody, open_folder


def list_names(root: Path, **options) -> list[str]:
    return [e.uri.removeprefix(f"{root}/") for e in Storage().list(str(root), **options)]


def test_list_returns_readable_uri_of_name_that_is_not_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.wav"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"data")
    (entry,) = Storage().list(str(tmp_path))
    assert entry.uri == f"file://{tmp_path}/%FF.wav"
    assert Storage().read(entry.uri) == b"data"


def test_list_follows_links_but_not_in_circles(tmp_path):
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d/x.wav").write_bytes(b"x")
    (tmp_path / "far").mkdir()
    (tmp_path / "far/y.wav").write_bytes(b"y")
    (root / "far").symlink_to(tmp_path / "far")
    (root / "d/up").symlink_to(root)
    (root / "broken.wav").symlink_to(tmp_path / "nothing")
    (root / "link.wav").symlink_to(root / "d/x.wav")
    assert list_names(root) == ["d/x.wav", "far/y.wav", "link.wav"]


def test_list_enters_each_linked_folder_once(tmp_path):
    names = [f"d{i}" for i in range(8)]
    for name in names:
        (tmp_path / name).mkdir()
        for other in names:
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
    (tmp_path / "d0/x.wav").write_bytes(b"x")
    assert len(list_names(tmp_path)) == 2, "under its own name and through one link"


def test_list_reaches_files_deeper_than_python_recurses(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        for _ in range(700):
            Path("d").mkdir()
            patch.chdir("d")
        Path("x.wav").touch()
    assert list_names(tmp_path) == ["d/" * 700 + "x.wav"]


def test_list_takes_a_time_that_no_calendar_holds():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # file systems on disks hold none
        path = Path(folder, "x.wav")
        path.touch()
        os.utime(path, (1e13, 1e13))
        assert list_names(Path(folder)) == ["x.wav"]


def list_with_errors(root: Path, **options) -> dict[str, str]:
    """Return name: error code, empty for a file that was listed."""
    entries = Storage().list(str(root), with_errors=True, **options)
    return {
        entry.uri.removeprefix(f"{root}/"): entry.error.code if entry.error else ""
        for entry in entries
    }


def make_bad_entries(root: Path) -> None:
    (root / "a.wav").write_bytes(b"x")
    (root / "circle.wav").symlink_to(root / "circle.wav")
    (root / "through.wav").symlink_to(root / "a.wav/b.wav")
    (root / "long.wav").symlink_to(root / ("n" * 300))
    (root / "closed").mkdir()
    (root / "closed/c.wav").write_bytes(b"x")
    (root / "z.wav").write_bytes(b"x")


def test_list_tells_bad_entries_from_the_rest():
    with open_folder() as root:
        make_bad_entries(root)
        (root / "closed").chmod(0)
        found = call_as_nobody(lambda: list_with_errors(root))
        assert found == {
            "a.wav": "", "circle.wav": "object_missing", "closed": "access_denied",
            "long.wav": "object_missing", "through.wav": "object_missing", "z.wav": "",
        }  # fmt: skip
        left_out = ["closed/**", "circle.wav"]
        found = call_as_nobody(lambda: list_with_errors(root, exclude=left_out))
        assert list(found) == ["a.wav", "long.wav", "through.wav", "z.wav"]


def test_list_raises_the_error_of_a_bad_entry_by_name(tmp_path):
    make_bad_entries(tmp_path)
    with pytest.raises(ObjectMissing, match=r"circle\.wav: Too many levels"):
        list_names(tmp_path)


def test_list_names_a_root_without_permission():
    with open_folder() as root:
        (root / "closed").mkdir()
        (root / "closed").chmod(0)

        def list_root() -> str:
            try:
                return str(list_with_errors(root / "closed"))
            except AccessDenied as error:
                return f"denied {error}"

        assert call_as_nobody(list_root) == f"denied {root}/closed: Permission denied"


def test_on_disk_names_a_file_that_may_not_be_read():
    with open_folder() as root:
        (root / "x.wav").write_bytes(b"x")
        (root / "x.wav").chmod(0)

        def read() -> str:
            entry = Storage().stat(str(root / "x.wav"))
            try:
                with Storage().on_disk(entry, root):
                    return "open"
            except AccessDenied as error:
                return str(error)

        assert call_as_nobody(read) == f"{root}/x.wav: Permission denied"


@pytest.mark.parametrize("path", ["/proc/self/environ", "/dev/null", "pipe"])
def test_stat_refuses_what_is_no_file_of_a_library(tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ObjectMissing):
        Storage().stat(str(tmp_path / path))


def test_list_omits_unfinished_files(tmp_path):
    storage, seen = Storage(), []

    def blocks():
        yield b"1"
        seen.extend(os.listdir(tmp_path))  # noqa: PTH208
        assert list_names(tmp_path) == []
        yield b"2"

    storage.write(str(tmp_path / "x.wav"), blocks())
    assert len(seen) == 1
    assert seen[0].startswith(".x.wav.")
    assert os.listdir(tmp_path) == ["x.wav"]  # noqa: PTH208


def test_write_accepts_the_longest_name(tmp_path):
    name = "n" * 255
    Storage().write(str(tmp_path / name), b"1")
    assert list_names(tmp_path) == [name]
    with pytest.raises(StorageError, match="too long"):
        Storage().write(str(tmp_path / ("n" * 256)), b"1")


def test_write_syncs_data_before_the_rename(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace", "rename", "link"):
        real = getattr(os, name)

        def record(*args, name=name, real=real, **options):
            calls.append(name)
            return real(*args, **options)

        monkeypatch.setattr(os, name, record)
    Storage().write(str(tmp_path / "x"), b"1")
    assert "fsync" in calls[: calls.index("replace")]
    assert calls[-1] == "fsync", "the folder, or the new name may be forgotten"
    calls.clear()
    Storage().write(str(tmp_path / "y"), b"1", if_absent=True)
    assert "fsync" in calls[: calls.index("link")]
    assert calls[-1] == "fsync"


def test_on_disk_raises_if_the_file_changes(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    entry = Storage().stat(str(tmp_path / "x"))
    with pytest.raises(ObjectChanged, match="the next run"), Storage().on_disk(entry, tmp_path):
        (tmp_path / "x").write_bytes(b"22")


def test_stat_and_list_of_folders(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(ObjectMissing, match="is a folder"):
        Storage().stat(str(tmp_path / "d"))
    with pytest.raises(ObjectMissing, match="no such"):
        list(Storage().list(str(tmp_path / "absent")))
    assert list_names(tmp_path / "d") == []


def test_clear_succeeds_while_another_writer_writes_into_the_folder(tmp_path):
    def write() -> None:
        for number in range(200):
            with contextlib.suppress(ObjectMissing):  # its folder was cleared
                Storage().write(f"{tmp_path}/a/b/{number}", b"x")

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            Storage().clear(f"{tmp_path}/a")
        writing.result()
    Storage().clear(f"{tmp_path}/a")
    assert not (tmp_path / "a").exists()


def test_write_below_a_link_to_nothing_says_that_it_is_missing(tmp_path):
    """So does one whose folder another process clears: the system's answer is the same."""
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    with pytest.raises(ObjectMissing):
        Storage().write(f"{tmp_path}/link/x", b"1")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, AccessDenied),
        (errno.ENOENT, ObjectMissing),
        (errno.EIO, StorageError),
    ],
)
def test_explain_maps_errors_of_the_system(number, kind):
    assert type(explain(OSError(number, os.strerror(number)), "/x")) is kind


def test_fetch_raises_disk_full(tmp_path):
    (tmp_path / "x").write_bytes(b"1" * 100_000)
    # By a link, because what could not be written whole is removed.
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="make room"):
        Storage().fetch(str(tmp_path / "x"), tmp_path / "full")
    assert not (tmp_path / "full").is_symlink()
