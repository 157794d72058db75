import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from separator.errors import CheckpointMissing, ChecksumMismatch, RequestError
from separator.model import registry
from separator.model.registry import BUNDLED, PUBLISHED, PublishedModel, home, obtain, resolve

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SMALL = PublishedModel("small", "owner/name", "model", "w.ckpt", SHA256, "mit", "clap")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SEPARATOR_OFFLINE", raising=False)
    return tmp_path / "cache"


def fill_hub_cache(folder: Path, content: bytes) -> Path:
    """List the files that huggingface_hub leaves after a download, without its links."""
    repository = folder / "hub" / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c" * 40)
    path = repository / "snapshots" / ("c" * 40) / "w.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEPARATOR_HOME", "~/mine")
    assert home() == tmp_path / "mine"
    monkeypatch.delenv("SEPARATOR_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert home() == tmp_path / "xdg" / "separator"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home() == tmp_path / ".cache" / "separator"


def test_published_entries_have_the_addresses_and_hashes_of_their_publishers() -> None:
    found = {entry.name: (entry.uri, entry.sha256[:8]) for entry in PUBLISHED.values()}
    site = "https://huggingface.co"
    assert found == {
        "audiosep": (
            f"{site}/spaces/Audio-AGI/AudioSep/resolve/main/checkpoint/audiosep_base_4M_steps.ckpt",
            "f8cda01b",
        ),
        "audiosep-hive": (
            f"{site}/ShandaAI/AudioSep-hive/resolve/main/audiosep_hive.ckpt",
            "a13fff5f",
        ),
    }
    assert all(len(bytes.fromhex(entry.sha256)) == 32 for entry in PUBLISHED.values())


def test_obtain_hashes_a_file_once(cache: Path) -> None:
    cache.mkdir()
    path = cache / "w.ckpt"
    path.write_bytes(CONTENT)
    assert obtain(SMALL) == path
    seen = json.loads((cache / "w.ckpt.sha256").read_text())
    assert (seen["sha256"], seen["num_bytes"]) == (SHA256, len(CONTENT))
    # Same size and time: taken for the file that was verified, it is not hashed again.
    stat = path.stat()
    path.write_bytes(b"x" * len(CONTENT))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert obtain(SMALL) == path
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(ChecksumMismatch):
        obtain(SMALL)


def test_obtain_verifies_a_file_put_there_by_hand(cache: Path) -> None:
    cache.mkdir()
    path = cache / "w.ckpt"
    path.write_bytes(b"other")
    with pytest.raises(ChecksumMismatch, match=f"{SHA256}; remove it"):
        obtain(SMALL)
    assert path.read_bytes() == b"other", "the user's file stays"
    assert not (cache / "w.ckpt.sha256").exists()
    path.write_bytes(CONTENT)
    (cache / "w.ckpt.sha256").write_text("not json")
    assert obtain(SMALL) == path
    assert json.loads((cache / "w.ckpt.sha256").read_text())["sha256"] == SHA256


def test_obtain_takes_what_the_hub_cache_holds(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fill_hub_cache(cache, CONTENT)
    monkeypatch.setenv("SEPARATOR_OFFLINE", "1")
    assert obtain(SMALL) == path
    (cache / "w.ckpt").write_bytes(CONTENT)
    assert obtain(SMALL) == cache / "w.ckpt", "a copy put there by hand comes first"


def test_obtain_removes_a_damaged_file_from_the_hub_cache(cache: Path) -> None:
    path = fill_hub_cache(cache, b"damaged")
    with pytest.raises(ChecksumMismatch, match="removed, the next start downloads it again"):
        obtain(SMALL)
    assert not path.exists()
    shutil.rmtree(cache)
    assert fill_hub_cache(cache, CONTENT) == obtain(SMALL)


@pytest.mark.parametrize("variable", ["SEPARATOR_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_error_says_which_file_to_put_where(
    monkeypatch: pytest.MonkeyPatch, cache: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")  # HF_HUB_OFFLINE is set for all tests
    entry = PUBLISHED["audiosep"]
    with pytest.raises(CheckpointMissing) as caught:
        resolve("audiosep")
    for part in (entry.file, entry.sha256, entry.uri, str(cache / entry.file), variable):
        assert part in str(caught.value)


def test_resolve_suggests_names_near_an_unknown_one() -> None:
    with pytest.raises(RequestError) as caught:
        resolve("audiosep-hives")
    message = str(caught.value)
    assert "did you mean 'audiosep-hive'" in message
    assert all(name in message for name in ("mini", *PUBLISHED))
    with pytest.raises(RequestError, match="known are mini") as caught:
        resolve("zzz")
    assert "did you mean" not in str(caught.value)
    separators, _, detectors = str(caught.value).partition("; as detectors ")
    assert "zeroshot-asp" in separators and "stsed" not in separators
    assert detectors == "mini-detector, stsed, htsat; or give a path"


def test_resolve_takes_paths_and_says_what_is_wrong_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("plain").write_bytes(b"x")
    assert resolve("plain") == Path("plain")
    assert resolve(Path("plain")) == Path("plain")
    assert resolve("~/plain") == tmp_path / "plain"
    for absent in ("folder/x", "./x", "~/x", "x.ckpt", "x.safetensors", Path("x")):
        with pytest.raises(CheckpointMissing, match="no such file"):
            resolve(absent)
    with pytest.raises(CheckpointMissing, match="a folder"):
        resolve(tmp_path)


def test_resolve_prefers_a_name_to_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEPARATOR_OFFLINE", "1")
    Path("audiosep").mkdir()
    with pytest.raises(CheckpointMissing, match="not in the cache"):
        resolve("audiosep")


def test_resolve_finds_the_bundled_mini_model() -> None:
    assert resolve("mini") == BUNDLED and BUNDLED.is_file()


def test_resolve_fetches_a_uri_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fetch_uri(uri: str, path: Path) -> None:
        calls.append(uri)
        path.write_bytes(CONTENT)

    # A hub being out of reach says nothing about the store.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = resolve("s3://bucket/a/w.ckpt", fetch_uri)
    assert path.name == "w.ckpt" and path.is_relative_to(cache / "uri")
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["w.ckpt"]
    other = resolve("s3://bucket/b/w.ckpt", fetch_uri)
    assert other != path
    assert resolve("s3://bucket/a/w.ckpt") == path
    assert calls == ["s3://bucket/a/w.ckpt", "s3://bucket/b/w.ckpt"]


def test_resolve_leaves_nothing_of_a_uri_that_fails(cache: Path) -> None:
    def fetch_uri(uri: str, path: Path) -> None:
        path.write_bytes(b"half")
        raise ConnectionError(uri)

    with pytest.raises(ConnectionError):
        resolve("s3://bucket/w.ckpt", fetch_uri)
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_resolve_refuses_uris_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="no storage was given"):
        resolve("s3://bucket/w.ckpt")
    for uri in ("s3://bucket/folder/", "s3://bucket/.."):
        with pytest.raises(RequestError, match="names a folder"):
            resolve(uri, lambda uri, path: None)
    for uri in ("https://host/w.ckpt?token=secret", "https://user:secret@host/w.ckpt"):
        with pytest.raises(RequestError, match="only s3://") as caught:
            resolve(uri)
        assert "secret" not in str(caught.value)
        assert "host/w.ckpt" in str(caught.value)
    monkeypatch.setenv("SEPARATOR_OFFLINE", "1")
    with pytest.raises(CheckpointMissing, match="SEPARATOR_OFFLINE"):
        resolve("s3://bucket/w.ckpt", lambda uri, path: None)


def test_registry_does_not_import_torch_or_the_hub() -> None:
    code = (
        f"import sys, {registry.__name__};"
        "sys.exit(bool({'torch', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
