"""Stand between a job and its store on loopback, and answer as sick stores and proxies do."""

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.helpers.servers import running

# What may become of an answer.
WELL, BUSY, CUT, SHORT, SLOW = "well", "busy", "cut", "short", "slow"
SLOW_S, SLOW_PIECES = 0.02, 8
NOT_PASSED_ON = {"connection", "expect", "keep-alive", "transfer-encoding", "content-length"}
SLOW_DOWN = b"<Error><Code>SlowDown</Code></Error>"

Choose = Callable[[str, str], str]  # method, path -> what becomes of the answer


class Proxy(ThreadingHTTPServer):
    """`choose` may be changed at any time."""

    daemon_threads = True

    def __init__(self, endpoint_url: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        parts = urlsplit(endpoint_url)
        assert parts.hostname and parts.port
        self.host, self.port = parts.hostname, parts.port
        self.choose: Choose = choose_well
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        assert isinstance(self.server, Proxy)
        data = self._read()
        choice = self.server.choose(self.command, self.path)
        if choice == BUSY:
            self._send(503, [("Content-Type", "application/xml")], SLOW_DOWN, len(SLOW_DOWN))
            return
        status, headers, body, num_bytes = self._ask(data)
        if choice == SHORT and self.command in ("GET", "HEAD"):
            num_bytes //= 2
            body = body[:num_bytes]
        if choice == CUT and self.command == "GET":
            body = body[: len(body) // 2]
        self._send(status, headers, body, num_bytes, SLOW_S if choice == SLOW else 0.0)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

    def _read(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return data

    def _ask(self, data: bytes) -> tuple[int, list[tuple[str, str]], bytes, int]:
        """Return status, headers, body and stated length of the store's own answer."""
        assert isinstance(self.server, Proxy)
        link = http.client.HTTPConnection(self.server.host, self.server.port, timeout=60)
        try:
            link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in NOT_PASSED_ON:
                    link.putheader(name, value)
            link.putheader("Content-Length", str(len(data)))
            link.endheaders(data)
            answer = link.getresponse()
            body = answer.read()
            headers = [h for h in answer.getheaders() if h[0].lower() not in NOT_PASSED_ON]
            stated = answer.getheader("Content-Length")
            return answer.status, headers, body, len(body) if stated is None else int(stated)
        finally:
            link.close()

    def _send(
        self,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        num_bytes: int,
        pause_s: float = 0.0,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(num_bytes))
        self.end_headers()
        if self.command == "HEAD":
            return
        size = -(-len(body) // (SLOW_PIECES if pause_s else 1)) or 1
        for start in range(0, len(body), size):
            time.sleep(pause_s)
            self.wfile.write(body[start : start + size])
        if len(body) < num_bytes:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serve_proxy(endpoint_url: str) -> Iterator[Proxy]:
    proxy = Proxy(endpoint_url)
    with running(proxy):
        yield proxy


def choose_well(method: str, path: str) -> str:
    return WELL


def choose_busy(method: str, path: str) -> str:
    return BUSY


def choose_at_random(seed: int, *choices: str) -> Choose:
    """A third of all answers are one of `choices`."""
    rng, lock = random.Random(seed), threading.Lock()

    def choose(method: str, path: str) -> str:
        with lock:
            return rng.choice([WELL, WELL, rng.choice(choices)])

    return choose


def choose_of(name: str, choice: str) -> Choose:
    """Answers about objects with `name` in their keys are `choice`."""
    return lambda method, path: choice if name in path else WELL
