import contextlib
import hashlib
import http.server
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from separator.errors import CheckpointMissing, ChecksumMismatch, RequestError
from separator.model.fetch import fetch, show_progress

CONTENT = random.Random(5).randbytes(5_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server does, and what it was asked for."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    ranges: bool = True
    # How many bytes of each of the next answers are sent before the connection drops.
    drops: list[int] = field(default_factory=list)
    # Statuses of the next answers instead of the content.
    statuses: list[int] = field(default_factory=list)
    uri: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    num_sent: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        site = self.site
        site.requests.append({k.lower(): v for k, v in self.headers.items()})
        if site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        start, total = self._find_start(), len(site.content)
        if start > total or (start == total and start):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if site.etag:
            self.send_header("ETag", site.etag)
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        body = (
            site.content[start : start + site.drops.pop(0)] if site.drops else site.content[start:]
        )
        with contextlib.suppress(ConnectionError):  # who sees a wrong length hangs up
            self.wfile.write(body)
        site.num_sent += len(body)
        self.close_connection = True

    def _find_start(self) -> int:
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not asked or not self.site.ranges or (condition and condition != self.site.etag):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    handler = type("BoundHandler", (Handler,), {"site": site})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    site.uri = f"http://127.0.0.1:{server.server_address[1]}/folder/weights.ckpt"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def get(site: Site, path: Path, sha256: str = SHA256, **options: object) -> None:
    quick = {"attempts": 3, "timeout_s": 5.0, "backoff_s": 0.01}
    fetch(site.uri, path, sha256, **(quick | options))  # type: ignore[arg-type]


def list_names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_whole(site: Site, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    path = tmp_path / "new" / "x.ckpt"
    get(site, path, num_bytes=len(CONTENT), progress=lambda *call: calls.append(call))
    assert path.read_bytes() == CONTENT
    assert list_names(path.parent) == ["x.ckpt", "x.ckpt.lock"]
    assert len(site.requests) == 1 and "range" not in site.requests[0]
    done = [call[0] for call in calls]
    assert done == sorted(set(done)) and len(done) >= 4
    assert calls[-1] == (len(CONTENT), len(CONTENT))
    get(site, path)
    assert len(site.requests) == 1, "what is there is not fetched again"


def test_a_dropped_connection_is_resumed(site: Site, tmp_path: Path) -> None:
    calls: list[int] = []
    site.drops = [2_500_000]
    get(site, tmp_path / "x", progress=lambda done, _: calls.append(done))
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert len(site.requests) == 2
    assert site.requests[1]["range"] == "bytes=2500000-"
    assert site.requests[1]["if-range"] == '"one"'
    assert site.num_sent == len(CONTENT), "no byte came twice"
    assert calls == sorted(set(calls))


def test_a_later_call_resumes_an_earlier_one(site: Site, tmp_path: Path) -> None:
    site.drops = [1_000_000, 0, 0]
    with pytest.raises(CheckpointMissing, match="ended after 1,000,000 of 5,000,000"):
        get(site, tmp_path / "x")
    assert list_names(tmp_path) == ["x.lock", "x.part", "x.part.etag"]
    get(site, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert site.num_sent == len(CONTENT)


def test_many_drops_are_borne_as_long_as_it_advances(site: Site, tmp_path: Path) -> None:
    site.drops = [1 << 20] * 4
    get(site, tmp_path / "x", attempts=1)
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize("drops", [[2_000_000], [2_000_000, 100, 100, 100]])
def test_a_server_without_ranges(site: Site, tmp_path: Path, drops: list[int]) -> None:
    site.ranges, site.drops = False, list(drops)
    if len(drops) == 1:
        get(site, tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == CONTENT
        assert site.num_sent == len(CONTENT) + 2_000_000
    else:
        with pytest.raises(CheckpointMissing, match="3 attempts"):
            get(site, tmp_path / "x")


def test_a_changed_file_is_started_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(b"old" * 1000)
    (tmp_path / "x.part.etag").write_text('"zero"')
    get(site, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert site.requests[0]["if-range"] == '"zero"' and len(site.requests) == 1


def test_no_etag_resumes_and_the_checksum_decides(site: Site, tmp_path: Path) -> None:
    site.etag = None
    (tmp_path / "x.part").write_bytes(CONTENT[:1000])
    get(site, tmp_path / "x")
    assert "if-range" not in site.requests[0] and site.num_sent == len(CONTENT) - 1000
    (tmp_path / "y.part").write_bytes(b"x" * 1000)
    with pytest.raises(ChecksumMismatch):
        get(site, tmp_path / "y")


@pytest.mark.parametrize("num_bytes", [None, len(CONTENT)])
@pytest.mark.parametrize("excess", [0, 7])
def test_a_part_that_is_whole_or_too_long(
    site: Site, tmp_path: Path, num_bytes: int | None, excess: int
) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT + b"x" * excess)
    get(site, tmp_path / "x", num_bytes=num_bytes)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert site.num_sent == (len(CONTENT) if excess else 0)


def test_wrong_content(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ChecksumMismatch) as caught:
        get(site, tmp_path / "x", sha256="0" * 64)
    assert SHA256 in str(caught.value) and "0" * 64 in str(caught.value)
    assert list_names(tmp_path) == ["x.lock"]
    with pytest.raises(ChecksumMismatch, match="5,000,000 bytes"):
        get(site, tmp_path / "x", num_bytes=4_000_000)
    assert list_names(tmp_path) == ["x.lock"]


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_not_tried_again(site: Site, tmp_path: Path, status: int) -> None:
    site.statuses = [status] * 9
    with pytest.raises(CheckpointMissing, match=f"{status}.*by hand") as caught:
        get(site, tmp_path / "x")
    assert len(site.requests) == 1
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_passing_failure_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.statuses = [500, 429]
    get(site, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    site.statuses = [503] * 9
    with pytest.raises(CheckpointMissing, match=r"503.*\(3 attempts\)"):
        get(site, tmp_path / "y")
    assert len(site.requests) == 6


def test_nobody_there(site: Site, tmp_path: Path) -> None:
    site.uri = "http://127.0.0.1:9/weights?signature=secret"
    with pytest.raises(CheckpointMissing, match="refused") as caught:
        get(site, tmp_path / "x")
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_server_that_falls_silent(site: Site, tmp_path: Path) -> None:
    def open_uri(request: object, timeout: float) -> object:
        raise TimeoutError(f"timed out after {timeout} s")

    with pytest.raises(CheckpointMissing, match=r"timed out after 5\.0 s"):
        get(site, tmp_path / "x", open_uri=open_uri)


def test_bad_requests(site: Site, tmp_path: Path) -> None:
    site.uri = f"file://{tmp_path}"
    with pytest.raises(RequestError, match="http"):
        get(site, tmp_path / "x")
    site.uri = "http://user:secret@127.0.0.1/x"
    with pytest.raises(RequestError, match=r"^http://127\.0\.0\.1/x: "):
        get(site, tmp_path / "x")
    site.uri = "http://127.0.0.1:9/x"
    with pytest.raises(CheckpointMissing, match="GB are free"):
        get(site, tmp_path / "x", num_bytes=1 << 60)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointMissing, match="cannot be written"):
        get(site, tmp_path / "file" / "x")


def test_two_processes_at_once(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "x"
    code = (
        "import sys; from pathlib import Path; from separator.model.fetch import fetch;"
        "fetch(sys.argv[1], Path(sys.argv[2]), sys.argv[3]); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, site.uri, str(path), SHA256]
    processes = [subprocess.Popen(command, env=dict(os.environ)) for _ in range(3)]
    threads = [threading.Thread(target=get, args=(site, path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert path.read_bytes() == CONTENT
    assert site.num_sent == len(CONTENT)


def test_progress_is_silent_in_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    show_progress(1, 2)
    assert capfd.readouterr() == ("", "")
