"""Packages by their registries' clients: those that are there are not downloaded again."""

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
