"""A server on loopback that plays the part of the Hugging Face Hub that a push uses.

It keeps one repository: its files, and large ones by their sha256, as the Hub keeps them.
"""

import base64
import hashlib
import http.server
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.helpers.servers import running

TOKEN = "hf_of_the_test"
LARGE = (".tar", ".parquet", ".gz")


@dataclass
class WritableHub:
    """The repository, the faults to show, and what came."""

    name: str = "someone/sirens"
    private: bool | None = None  # None: there is no repository
    files: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)  # by sha256, before they are committed
    faults: dict[str, list[int]] = field(default_factory=dict)  # by request: the next statuses
    uploads: list[str] = field(default_factory=list)  # sha256
    commits: list[str] = field(default_factory=list)  # their messages
    endpoint: str = ""

    def list_tree(self) -> list[dict[str, Any]]:
        rows = []
        for path, data in sorted(self.files.items()):
            row = {"type": "file", "path": path, "size": len(data), "oid": hash_blob(data)}
            if path.endswith(LARGE):
                about = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
                row["lfs"] = about | {"pointerSize": 100}
            rows.append(row)
        return rows

    def commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    self.commits.append(value["summary"])
                case "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    self.files[value["path"]] = self.large[value["oid"]]
                case "deletedFile":
                    del self.files[value["path"]]


def hash_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    hub: WritableHub

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(self.path.partition("?")[0]).replace(self.hub.name, "REPO")
        for part, answers in self.hub.faults.items():
            if part in f"{self.command} {path}" and answers:
                self._send(answers.pop(0), {"error": "as the test has it"})
                return
        if not path.startswith("/lfs/") and self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid username or password."})
            return
        self._send(*self._find(path, body))

    def _find(self, path: str, body: bytes) -> tuple[int, Any]:
        hub = self.hub
        if path.startswith("/lfs/"):
            hub.large[path.removeprefix("/lfs/")] = body
            hub.uploads.append(path.removeprefix("/lfs/"))
            return 200, {}
        if path == "/api/repos/create":
            address = {"url": f"{hub.endpoint}/datasets/{hub.name}"}
            if hub.private is not None:
                return 409, address | {"error": "You already created this dataset repo"}
            hub.private = json.loads(body)["visibility"] == "private"
            hub.files[".gitattributes"] = b"*.tar filter=lfs\n"
            return 200, address
        if hub.private is None:
            return 404, {"error": "Repository not found"}
        if path == "/api/validate-yaml":
            return 200, {"warnings": [], "errors": []}
        if path in ("/api/datasets/REPO", "/api/datasets/REPO/revision/main"):
            return 200, {"id": hub.name, "private": hub.private, "sha": "c" * 40, "tags": []}
        if re.fullmatch("/api/datasets/REPO/tree/main/?", path):
            return 200, hub.list_tree()
        if path == "/api/datasets/REPO/preupload/main":
            return 200, {"files": [self._choose(each) for each in json.loads(body)["files"]]}
        if path == "/datasets/REPO.git/info/lfs/objects/batch":
            objects = [self._offer(each) for each in json.loads(body)["objects"]]
            return 200, {"transfer": "basic", "objects": objects}
        if path == "/api/datasets/REPO/commit/main":
            hub.commit([json.loads(line) for line in body.splitlines()])
            url = f"{hub.endpoint}/datasets/{hub.name}/commit/{'c' * 40}"
            return 200, {"commitUrl": url, "commitOid": "c" * 40}
        return 404, {"error": f"{path}: not played"}

    def _choose(self, file: dict[str, Any]) -> dict[str, Any]:
        is_large = file["path"].endswith(LARGE)
        about = {"path": file["path"], "uploadMode": "lfs" if is_large else "regular"}
        there = self.hub.files.get(file["path"])
        if there is not None:
            about["oid"] = hashlib.sha256(there).hexdigest() if is_large else hash_blob(there)
        return about | {"shouldIgnore": False}

    def _offer(self, file: dict[str, Any]) -> dict[str, Any]:
        if file["oid"] in self.hub.large:
            return file
        return file | {"actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{file['oid']}"}}}

    def _send(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve_writable_hub() -> Iterator[WritableHub]:
    hub = WritableHub()
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    with running(server) as hub.endpoint:
        yield hub


def make_environment(environment: dict[str, str], hub_endpoint: str, home: str) -> dict[str, str]:
    """Let huggingface_hub know the server, and nothing of the machine's own settings."""
    kept = {name: value for name, value in environment.items() if not name.startswith("HF_")}
    kept |= {"HF_ENDPOINT": hub_endpoint, "HF_TOKEN": TOKEN, "HF_HOME": home}
    # The Hub's own protocol for large files is a binary's: the server plays git's.
    return kept | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*"}
