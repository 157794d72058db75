"""Download one file whose sha256 is known: resumed, verified, moved into place whole or not at all.

It knows addresses and local paths, and nothing of what the file holds.
"""

import fcntl
import hashlib
import http.client
import random
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separator.errors import CheckpointMissing, ChecksumMismatch, RequestError
from separator.storage.atomic import move_into_place

BLOCK_BYTES = 1 << 20
MAX_WAIT_S = 60.0
RETRIED = (408, 425, 429, 500, 502, 503, 504)

Progress = Callable[[int, int | None], None]


class _DroppedError(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class _Download:
    uri: str
    path: Path
    num_bytes: int | None
    progress: Progress
    open_uri: Callable[..., Any]
    timeout_s: float

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    @property
    def etag(self) -> Path:
        return self.path.with_name(self.path.name + ".part.etag")

    @property
    def shown_uri(self) -> str:
        """Without user, password and query: a signed address must not reach a log."""
        parts = urllib.parse.urlsplit(self.uri)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def count_part(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def forget_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.etag.unlink(missing_ok=True)


def show_progress(done: int, total: int | None) -> None:
    """One line on stderr that rewrites itself, where somebody is looking."""
    if not sys.stderr.isatty():
        return
    end = "\n" if done == total else ""
    of = f" of {total / 1e6:,.0f} MB ({done / total:.0%})" if total else " MB"
    sys.stderr.write(f"\rfetching {done / 1e6:,.0f}{of}{end}")
    sys.stderr.flush()


def fetch(
    uri: str,
    path: Path,
    sha256: str,
    num_bytes: int | None = None,
    progress: Progress = show_progress,
    *,
    attempts: int = 6,
    timeout_s: float = 30.0,
    backoff_s: float = 1.0,
    open_uri: Callable[..., Any] = urllib.request.urlopen,
) -> None:
    """Bring `uri` to `path`. A file already there is left alone; two callers fetch it once.

    `attempts` bounds the tries in a row that bring nothing new.
    """
    download = _Download(uri, path, num_bytes, progress, open_uri, timeout_s)
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise RequestError(f"{download.shown_uri}: only http(s) addresses without a password")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path.with_name(path.name + ".lock")):
            if path.exists():
                return
            _check_space(download)
            _download_all(download, attempts, backoff_s)
            _verify(download, sha256)
            move_into_place(download.part, path)
            download.forget_part()
    except OSError as error:
        raise CheckpointMissing(f"{path}: cannot be written: {error.strerror or error}") from None


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    # The file stays: removing it would let a third process lock a name that nobody sees. The
    # kernel frees the lock of a process that dies.
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check_space(download: _Download) -> None:
    if download.num_bytes is None:
        return
    needed = download.num_bytes - download.count_part()
    free = shutil.disk_usage(download.path.parent).free
    if needed > free:
        raise CheckpointMissing(
            f"{download.path}: {needed / 1e9:.2f} GB more are needed, {free / 1e9:.2f} GB are free"
            f" in {download.path.parent}; make room, or set SEPARATOR_HOME to another disk"
        )


def _download_all(download: _Download, attempts: int, backoff_s: float) -> None:
    failures, best = 0, download.count_part()
    while True:
        try:
            return _download_rest(download)
        except _DroppedError as error:
            # A long download may drop often, as long as it advances: against a server that only
            # ever starts over, the high-water mark stands still and the attempts run out.
            done = download.count_part()
            failures = 0 if done >= best + BLOCK_BYTES else failures + 1
            best = max(best, done)
            if failures >= attempts:
                raise CheckpointMissing(
                    f"{download.path.name}: {download.shown_uri} cannot be fetched: {error}"
                    f" ({attempts} attempts); fetch it by hand and put it at {download.path}"
                ) from None
            wait_s = backoff_s * 2 ** max(failures - 1, 0) * random.uniform(0.5, 1.5)
            time.sleep(min(max(wait_s, error.wait_s), MAX_WAIT_S))


def _download_rest(download: _Download) -> None:
    """One request: the part's remainder, or all of it where the server will not continue."""
    have, known = download.count_part(), download.num_bytes
    if known is not None and have > known:
        download.forget_part()
        have = 0
    if have and have == known:
        return
    response = _open(download, have)
    if response is None:
        return
    with response:
        if response.status == 206 and not _continues(download, response, have):
            download.forget_part()
            raise _DroppedError("the file at the address changed while it was fetched")
        if response.status == 200:
            have = 0  # the server does not continue, or the file has changed
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else known
        if known is not None and total != known:
            raise ChecksumMismatch(
                f"{download.shown_uri}: has {total:,} bytes, published were {known:,}; not fetched"
            )
        _keep_etag(download, response)
        with download.part.open("ab" if have else "wb") as file:
            for block in _iter_blocks(response):
                file.write(block)
                have += len(block)
                download.progress(have, total)
        if total is not None and have < total:
            raise _DroppedError(f"the connection ended after {have:,} of {total:,} bytes")


def _open(download: _Download, have: int) -> Any:
    """The answer to one request, or None where the server has nothing beyond our part."""
    headers = {"User-Agent": "separator", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if download.etag.exists():
            headers["If-Range"] = download.etag.read_text()
    request = urllib.request.Request(download.uri, headers=headers)
    try:
        return download.open_uri(request, timeout=download.timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            if error.headers.get("Content-Range", "") == f"bytes */{have}":
                return None
            download.forget_part()
            raise _DroppedError("the file at the address is shorter than our part") from None
        reason = f"the server answers {error.code} {error.reason}"
        if error.code in RETRIED:
            after = error.headers.get("Retry-After", "")
            raise _DroppedError(reason, float(after) if after.isdecimal() else 0.0) from None
        raise CheckpointMissing(
            f"{download.path.name}: {download.shown_uri}: {reason}; fetch it by hand and put it"
            f" at {download.path}"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(_explain(error)) from None


def _continues(download: _Download, response: Any, have: int) -> bool:
    """Does a partial answer begin where our part ends, and belong to the same file?"""
    etag = download.etag.read_text() if download.etag.exists() else None
    same = etag is None or response.headers.get("ETag", etag) == etag
    return same and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _keep_etag(download: _Download, response: Any) -> None:
    etag = response.headers.get("ETag", "")
    # A weak one promises equal meaning, not equal bytes, and is not allowed in If-Range.
    if etag.startswith('"'):
        download.etag.write_text(etag)
    else:
        download.etag.unlink(missing_ok=True)


def _iter_blocks(response: Any) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(_explain(error)) from None
        if not block:
            return
        yield block


def _explain(error: BaseException) -> str:
    cause = getattr(error, "reason", error)
    return f"{type(cause).__name__}: {cause}" if isinstance(cause, BaseException) else str(cause)


def _verify(download: _Download, sha256: str) -> None:
    found = hash_file(download.part)
    if found != sha256:
        download.forget_part()
        raise ChecksumMismatch(
            f"{download.shown_uri}: came with sha256 {found}, published was {sha256}; removed"
        )
