import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from separator.errors import CheckpointMissing, ChecksumMismatch, RequestError
from separator.model import registry
from separator.model.registry import BUNDLED, PUBLISHED, Published, home, obtain, resolve

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SEPARATOR_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "cache"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    """A small checkpoint, published on a real server."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "w.ckpt").write_bytes(CONTENT)
    handler = partial(QuietHandler, directory=str(tmp_path / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    uri = f"http://127.0.0.1:{server.server_address[1]}/w.ckpt"
    try:
        yield Published("small", "w.ckpt", uri, SHA256, len(CONTENT), "mit", "clap")
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEPARATOR_HOME", "~/mine")
    assert home() == tmp_path / "mine"
    monkeypatch.delenv("SEPARATOR_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert home() == tmp_path / "xdg" / "separator"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home() == tmp_path / ".cache" / "separator"


def test_the_published_entries_are_whole() -> None:
    for entry in PUBLISHED.values():
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.uri.startswith("https://huggingface.co/")
        assert entry.uri.endswith("/" + entry.file)


def test_fetched_once_and_trusted_after(published: Published, cache: Path) -> None:
    path = obtain(published)
    assert path == cache / "w.ckpt" and path.read_bytes() == CONTENT
    seen = json.loads((cache / "w.ckpt.sha256").read_text())
    assert (seen["sha256"], seen["num_bytes"]) == (SHA256, len(CONTENT))
    # Same size and time: taken for the file that was verified, it is not hashed again.
    stat = path.stat()
    path.write_bytes(b"x" * len(CONTENT))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert obtain(published) == path
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(ChecksumMismatch):
        obtain(published)


def test_a_file_put_there_by_hand_is_verified(published: Published, cache: Path) -> None:
    cache.mkdir()
    path = cache / "w.ckpt"
    path.write_bytes(b"other")
    with pytest.raises(ChecksumMismatch, match=SHA256):
        obtain(published)
    assert path.read_bytes() == b"other", "somebody's file is not ours to remove"
    assert not (cache / "w.ckpt.sha256").exists()
    path.write_bytes(CONTENT)
    (cache / "w.ckpt.sha256").write_text("not json")
    assert obtain(published) == path
    assert json.loads((cache / "w.ckpt.sha256").read_text())["sha256"] == SHA256


@pytest.mark.parametrize("variable", ["SEPARATOR_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_says_all_there_is_to_do(
    monkeypatch: pytest.MonkeyPatch, cache: Path, published: Published, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    entry = PUBLISHED["audiosep"]
    with pytest.raises(CheckpointMissing) as caught:
        resolve("audiosep")
    for part in (entry.file, entry.sha256, entry.uri, str(cache / entry.file), variable):
        assert part in str(caught.value)
    assert not cache.exists()
    with pytest.raises(CheckpointMissing):
        obtain(published)
    monkeypatch.setenv(variable, "0")
    assert obtain(published).read_bytes() == CONTENT
    monkeypatch.setenv(variable, "1")
    assert obtain(published).read_bytes() == CONTENT, "what is cached needs no network"


def test_unknown_names() -> None:
    with pytest.raises(RequestError) as caught:
        resolve("audiosep-hives")
    message = str(caught.value)
    assert "did you mean 'audiosep-hive'" in message
    assert all(name in message for name in ("mini", *PUBLISHED))
    with pytest.raises(RequestError, match="known are mini") as caught:
        resolve("zzz")
    assert "did you mean" not in str(caught.value)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_name_wins_over_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEPARATOR_OFFLINE", "1")
    Path("audiosep").mkdir()
    with pytest.raises(CheckpointMissing, match="not in the cache"):
        resolve("audiosep")


def test_mini_is_bundled_or_says_that_it_is_not() -> None:
    if BUNDLED.is_file():
        assert resolve("mini") == BUNDLED
    else:
        with pytest.raises(CheckpointMissing, match="comes without its mini model"):
            resolve("mini")


def test_uris_are_fetched_by_the_callable_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_uri_that_fails_leaves_nothing(cache: Path) -> None:
    def fetch_uri(uri: str, path: Path) -> None:
        path.write_bytes(b"half")
        raise ConnectionError(uri)

    with pytest.raises(ConnectionError):
        resolve("s3://bucket/w.ckpt", fetch_uri)
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_uris_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="nothing here reads s3"):
        resolve("s3://bucket/w.ckpt")
    for uri in ("s3://bucket/folder/", "s3://bucket/.."):
        with pytest.raises(RequestError, match="names a folder"):
            resolve(uri, lambda uri, path: None)
    with pytest.raises(RequestError, match="only s3://") as caught:
        resolve("https://host/w.ckpt?token=secret")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("SEPARATOR_OFFLINE", "1")
    with pytest.raises(CheckpointMissing, match="SEPARATOR_OFFLINE"):
        resolve("s3://bucket/w.ckpt", lambda uri, path: None)


def test_names_are_resolved_without_torch() -> None:
    code = f"import sys, {registry.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
