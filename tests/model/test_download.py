"""Downloads of published checkpoints, each in a process of its own: huggingface_hub reads the
environment when it is imported, and pytest runs with the hub switched off."""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from separator.model.registry import PublishedModel
from tests.helpers.hub import Hub, serve_hub

CONTENT = random.Random(5).randbytes(30_000_000)  # three of huggingface_hub's blocks of 10 MB
PUBLISHED = PublishedModel(
    name="small",
    repository="owner/name",
    kind="space",
    repository_file="checkpoint/w.ckpt",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    license="mit",
    encoder="clap",
)
ADDRESS = "/spaces/owner/name/resolve/main/checkpoint/w.ckpt"
CODE = """
import sys
from separator.errors import SeparatorError
from separator.model.registry import PublishedModel, obtain
try:
    print(obtain({published}))
except SeparatorError as error:
    sys.exit(f"{{error.code}}: {{error}}")
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub(CONTENT) as hub:
        yield hub


def start(
    home: Path, endpoint: str, published: PublishedModel = PUBLISHED
) -> subprocess.Popen[str]:
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("HF_", "SEPARATOR_"))}
    environment |= {"SEPARATOR_HOME": str(home), "HF_ENDPOINT": endpoint, "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(home / "unused")}
    return subprocess.Popen(
        [sys.executable, "-c", CODE.format(published=published)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def obtain(home: Path, endpoint: str, published: PublishedModel = PUBLISHED) -> Path:
    out, errors = (process := start(home, endpoint, published)).communicate(timeout=100)
    assert process.returncode == 0, errors
    return Path(out.strip())


def fail(home: Path, endpoint: str, published: PublishedModel = PUBLISHED) -> str:
    _, errors = (process := start(home, endpoint, published)).communicate(timeout=100)
    assert process.returncode == 1
    return errors.strip().splitlines()[-1]


def list_kept(home: Path) -> list[Path]:
    """Files of the size of a checkpoint, whole or in part."""
    return [p for p in home.rglob("*") if p.is_file() and p.stat().st_size > 1000]


def test_obtain_downloads_once_and_then_needs_no_hub(hub: Hub, tmp_path: Path) -> None:
    path = obtain(tmp_path, hub.endpoint)
    assert path.read_bytes() == CONTENT and path.is_relative_to(tmp_path / "hub")
    assert hub.list_downloads() == [(ADDRESS, "")]
    num_requests = len(hub.requests)
    assert obtain(tmp_path, hub.endpoint) == path
    assert len(hub.requests) == num_requests


def test_obtain_resumes_a_dropped_download(hub: Hub, tmp_path: Path) -> None:
    hub.drops = [25_000_000]
    assert obtain(tmp_path, hub.endpoint).read_bytes() == CONTENT
    (_, first), (_, second) = hub.list_downloads()
    resumed_at = int(second.removeprefix("bytes=").removesuffix("-"))
    assert first == "" and 0 < resumed_at <= 25_000_000
    assert hub.num_sent == 25_000_000 + len(CONTENT) - resumed_at


def test_obtain_removes_a_download_with_a_wrong_hash(hub: Hub, tmp_path: Path) -> None:
    other = replace(PUBLISHED, sha256="0" * 64)
    message = fail(tmp_path, hub.endpoint, other)
    assert message.startswith("checksum_mismatch: ") and "downloads it again" in message
    assert PUBLISHED.sha256 in message and other.sha256 in message
    assert not list_kept(tmp_path)
    assert obtain(tmp_path, hub.endpoint).read_bytes() == CONTENT


def test_obtain_in_two_processes_downloads_once(hub: Hub, tmp_path: Path) -> None:
    processes = [start(tmp_path, hub.endpoint) for _ in range(2)]
    outputs = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] and hub.num_sent == len(CONTENT)


def check_missing(message: str, home: Path) -> None:
    assert message.startswith("checkpoint_missing: checkpoint/w.ckpt: ")
    for part in (PUBLISHED.uri, PUBLISHED.sha256, str(home / "w.ckpt")):
        assert part in message
    assert not list_kept(home)


def test_obtain_says_which_file_to_put_where_when_the_hub_refuses(hub: Hub, tmp_path: Path) -> None:
    hub.status = 403
    message = fail(tmp_path, hub.endpoint)
    check_missing(message, tmp_path)
    assert "403" in message


@pytest.mark.slow  # huggingface_hub tries for 20 s
@pytest.mark.check
def test_obtain_says_which_file_to_put_where_when_the_hub_is_unreachable(tmp_path: Path) -> None:
    message = fail(tmp_path, "http://127.0.0.1:9")
    check_missing(message, tmp_path)
    assert "refused" in message
