"""Packages by their registries' clients: those that are there are not downloaded again."""

import io
import tarfile
import zipfile

import pytest

from separator.errors import RequestError
from separator.sounds.packages import fetch, unpack
from tests.helpers.packages import build_deb, build_tgz


def test_fetch_returns_an_archive_that_is_there(tmp_path):
    build_deb(tmp_path, "small-data", {"usr/a.wav": b"a"})
    assert fetch("debian", "small-data", tmp_path).name == "small-data_1_all.deb"


def test_fetch_takes_an_archive_of_the_very_package(tmp_path):
    build_tgz(tmp_path / "x-small-extra-1.0.0.tgz", {})
    path = build_tgz(tmp_path / "x-small-1.0.0.tgz", {})
    assert fetch("npm", "@x/small", tmp_path) == path


def test_fetch_error_names_the_package_that_cannot_be_had(tmp_path):
    with pytest.raises(RequestError, match="no-such-package-here"):
        fetch("debian", "no-such-package-here", tmp_path)


def test_fetch_refuses_a_registry_without_a_client(tmp_path):
    with pytest.raises(RequestError, match="'other'; debian and npm"):
        fetch("other", "a", tmp_path)


def test_unpack_reads_files_and_files_in_a_zip_and_leaves_nothing(tmp_path):
    deb = build_deb(tmp_path, "small-data", {"usr/a.wav": b"a", "usr/b.zip!c/d.wav": b"d"})
    with unpack(deb, []) as opened:
        assert opened.read("usr/a.wav") == b"a"
        assert opened.read("usr/b.zip!c/d.wav") == b"d"
        for path in ("usr/none.wav", "usr/b.zip!none", f"../{deb.name}"):
            with pytest.raises(RequestError, match="not in the package"):
                opened.read(path)
    assert not opened.root.exists()


def test_unpack_of_a_tgz_takes_only_the_files_named(tmp_path):
    path = build_tgz(tmp_path / "a-1.tgz", {"package/a.ogg": b"a", "package/b.ogg": b"b"})
    with unpack(path, ["package/a.ogg", "package/none.ogg"]) as opened:
        assert [p.name for p in opened.root.rglob("*.ogg")] == ["a.ogg"]


def make_link(path):
    """Make a package whose sound is a link out of it."""
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("package/a.ogg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(member)


def cut(path):
    build_tgz(path, {"package/a.ogg": bytes(range(256)) * 40})
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("spoil", [cut, make_link, lambda path: path.write_bytes(b"<html>")])
def test_unpack_error_says_how_to_download_a_damaged_tgz_again(tmp_path, spoil):
    spoil(path := tmp_path / "a-1.tgz")
    said = r"(?s)a-1\.tgz cannot be unpacked: .*; if it is damaged, delete .*a-1\.tgz, and"
    with pytest.raises(RequestError, match=said), unpack(path, ["package/a.ogg"]):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_unpack_error_says_how_to_download_a_damaged_deb_again(tmp_path):
    deb = build_deb(tmp_path, "small-data", {"usr/a.wav": bytes(4000)})
    deb.write_bytes(deb.read_bytes()[:-2000])
    said = r"(?s)cannot be unpacked: dpkg-deb.*; if it is damaged"
    with pytest.raises(RequestError, match=said), unpack(deb, []):
        pass


def test_read_refuses_a_zip_that_is_damaged_and_reads_on(tmp_path):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("d.wav", b"d" * 1000)
    flipped = whole.getvalue().replace(b"dddd", b"ddde", 1)
    files = {"a.zip": b"no zip", "b.zip": flipped, "c.zip": whole.getvalue()}
    with unpack(build_tgz(tmp_path / "a-1.tgz", files), list(files)) as opened:
        for name in ("a.zip", "b.zip"):
            with pytest.raises(RequestError, match=f"{name}!d.wav: cannot be read: "):
                opened.read(f"{name}!d.wav")
        assert opened.read("c.zip!d.wav") == b"d" * 1000
