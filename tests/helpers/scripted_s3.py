"""An S3 store on loopback that gives scripted answers."""

import datetime
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from separator.storage import Storage, StorageSettings
from tests.helpers.servers import running

ETAG = "0123456789abcdef0123456789abcdef"
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
ABOUT = {"ETag": f'"{ETAG}"', "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}


class Answer:
    """One answer of the server; `body` may stop short of `length`."""

    def __init__(self, status: int, body: bytes = b"", length: int | None = None, **headers: str):
        self.status, self.body = status, body
        self.headers = {"Content-Length": str(len(body) if length is None else length)} | headers


def fail(status: int, code: str, **headers: str) -> Answer:
    text = f"<Error><Code>{code}</Code><Message>key AKIASECRET</Message></Error>"
    return Answer(status, text.encode(), **headers)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        server = self.server
        assert isinstance(server, Scripted)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.seen.append((self.command, dict(self.headers)))
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(answer.body)
        if len(answer.body) < int(answer.headers["Content-Length"]):
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


class Scripted(ThreadingHTTPServer):
    """Gives its answers in turn, the last one for ever."""

    daemon_threads = True

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.seen: list[tuple[str, dict[str, str]]] = []


@contextmanager
def serve(*answers: Answer, context: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    server = Scripted(list(answers))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server):
        yield server


def reach(server: Scripted, scheme: str = "http", **changes) -> Storage:
    url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    options = {"region": "us-east-1", "backoff_s": 0.02, "attempts": 3, "timeout_s": 5.0}
    return Storage(StorageSettings(endpoint_url=url, **(options | changes)))
