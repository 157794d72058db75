"""A server on loopback that speaks the part of the Hugging Face hub that downloads use."""

import hashlib
import http.server
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.helpers.servers import running

COMMIT = "c" * 40


@dataclass
class Hub:
    """The content of every file, the faults to show, and the requests that came."""

    content: bytes
    status: int = 200
    # Bytes of each of the next answers that are sent before the connection drops.
    drops: list[int] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    num_sent: int = 0
    endpoint: str = ""

    def list_downloads(self) -> list[tuple[str, str]]:
        return [(path, part) for method, path, part in self.requests if method == "GET"]


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self._send_headers()

    def do_GET(self) -> None:
        start = self._send_headers()
        if self.hub.status != 200:
            return
        stop = start + self.hub.drops.pop(0) if self.hub.drops else len(self.hub.content)
        self.wfile.write(body := self.hub.content[start:stop])
        self.hub.num_sent += len(body)
        self.close_connection = True

    def _send_headers(self) -> int:
        part, total = self.headers.get("Range", ""), len(self.hub.content)
        self.hub.requests.append((self.command, self.path, part))
        if self.hub.status != 200:
            self.send_response(self.hub.status)
            self.end_headers()
            return 0
        start = int(part.removeprefix("bytes=").removesuffix("-") or 0)
        self.send_response(206 if part else 200)
        if part:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start))
        self.send_header("ETag", f'"{hashlib.sha256(self.hub.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        return start


@contextmanager
def serve_hub(content: bytes) -> Iterator[Hub]:
    hub = Hub(content)
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    with running(server) as hub.endpoint:
        yield hub
