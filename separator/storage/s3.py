"""Read, list and write the objects of an S3 store through boto3."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

from separator.errors import (
    AccessDenied,
    BucketMissing,
    ObjectChanged,
    ObjectMissing,
    StorageBusy,
    StorageError,
)
from separator.storage import local
from separator.storage.s3_client import Client
from separator.storage.s3_errors import explained, get_field, retry, wait
from separator.storage.s3_settings import StorageSettings
from separator.storage.s3_upload import Writer
from separator.storage.uri import Entry, Place, hide_secret, parse_uri, show_uri

BLOCK_BYTES = 1 << 20
LISTED = {"IsTruncated", "KeyCount", "Name"}  # a listing has at least one of these


class S3Store:
    def __init__(self, settings: StorageSettings) -> None:
        self.settings = settings
        self.client = Client(settings)

    def list(self, place: Place, recursive: bool) -> Iterator[Entry]:
        """Yield the object of that name, or the objects of that folder, in order of keys."""
        key = place.key
        if key and not key.endswith("/"):
            # Of all keys that begin with `key`, `key` itself comes first.
            first = self._list_page(place, Prefix=key, MaxKeys=1).get("Contents", [])
            if first and first[0]["Key"] == key:
                yield _make_entry(place, first[0])
                return
            key += "/"
        arguments: dict[str, Any] = {"Prefix": key} | ({} if recursive else {"Delimiter": "/"})
        while True:
            page = self._list_page(place, **arguments)
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):  # what some tools make for a folder
                    yield _make_entry(Place(place.bucket, item["Key"]), item)
            if not page.get("IsTruncated"):
                return
            token = get_field(place.shown, page, "NextContinuationToken")
            arguments["ContinuationToken"] = token

    def _list_page(self, place: Place, **arguments: Any) -> dict[str, Any]:
        """List one page. Of an answer that is no listing, boto3 makes a listing without objects."""
        page = self.client.call("list_objects_v2", place, **arguments)
        if not LISTED & page.keys():
            get_field(place.shown, page, "IsTruncated")
        return page

    def stat(self, place: Place) -> Entry:
        try:
            head = self.client.call("head_object", place, Key=place.key)
        except ObjectMissing:
            self._check_bucket(place)  # HEAD does not say whether object or bucket is missing
            raise
        size = get_field(place.shown, head, "ContentLength")
        return _make_entry(place, head | {"Size": size})

    def _check_bucket(self, place: Place) -> None:
        try:
            self.client.call("head_bucket", place)
        except ObjectMissing:
            raise BucketMissing(
                f"s3://{place.bucket}: no such bucket; set storage.endpoint_url for another store"
            ) from None
        except AccessDenied:  # there is a bucket to refuse
            return

    def fetch(self, place: Place, path: Path, expected: Entry) -> None:
        """Read the listed version of an object into a local file, in parallel ranges."""
        size = self.settings.part_bytes
        starts = range(0, expected.num_bytes, size)
        with local.explained(str(path)), path.open("wb") as file:
            if expected.num_bytes:
                os.posix_fallocate(file.fileno(), 0, expected.num_bytes)  # a full disk shows now
            pool = ThreadPoolExecutor(max(1, min(self.settings.connections, len(starts))))
            try:
                jobs = [
                    pool.submit(
                        self._fetch_range,
                        place,
                        expected,
                        file.fileno(),
                        start,
                        min(start + size, expected.num_bytes),
                    )
                    for start in starts
                ]
                for job in jobs:
                    job.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _fetch_range(self, place: Place, expected: Entry, fd: int, start: int, stop: int) -> None:
        """Read one range; after a broken connection, read the rest of it."""
        at, failures, num_damaged = start, 0, 0
        while at < stop:
            try:
                for block in self._read_range(place, expected, at, stop):
                    os.pwrite(fd, block, at)
                    at += len(block)
                    failures = 0
            except StorageBusy:
                failures += 1
                if at >= stop:  # a wrong checksum shows when all bytes have come
                    at, num_damaged = start, num_damaged + 1
                if max(failures, num_damaged) >= self.settings.attempts:
                    raise
                wait(self.settings, failures)

    def _read_range(self, place: Place, expected: Entry, start: int, stop: int) -> Iterator[bytes]:
        with explained(place.shown, self.settings):
            answer = self.client.api.get_object(
                Bucket=place.bucket,
                Key=place.key,
                Range=f"bytes={start}-{stop - 1}",
                IfMatch=f'"{expected.etag}"',
            )
            # Some stores ignore Range or IfMatch.
            if get_field(place.shown, answer, "ETag").strip('"') != expected.etag:
                raise ObjectChanged(
                    f"{place.shown}: the object changed after it was listed; the next run reads it"
                )
            num_bytes = get_field(place.shown, answer, "ContentLength")
            if num_bytes != stop - start:
                raise StorageError(
                    f"{place.shown}: the store sent {num_bytes:,} bytes instead of {stop - start:,}"
                )
            with contextlib.closing(answer["Body"]) as body:
                yield from body.iter_chunks(BLOCK_BYTES)

    def read(self, place: Place) -> bytes:
        return self.read_versioned(place)[0]

    def write(self, place: Place, blocks: Iterable[bytes], if_absent: bool) -> None:
        Writer(self.client, place, if_absent).write(blocks)

    def read_versioned(self, place: Place) -> tuple[bytes, str]:
        def read() -> tuple[bytes, str]:
            answer = self.client.api.get_object(Bucket=place.bucket, Key=place.key)
            etag = get_field(place.shown, answer, "ETag").strip('"')
            return answer["Body"].read(), etag

        return retry(self.settings, place.shown, read)

    def replace(self, place: Place, data: bytes, version: str) -> None:
        Writer(self.client, place, if_absent=False).replace(data, version)

    def delete(self, place: Place) -> None:
        self.client.call("delete_object", place, Key=place.key)

    def clear(self, place: Place) -> None:
        folder = Place(place.bucket, place.key.rstrip("/") + "/")
        assert folder.key != "/", "not a whole bucket"
        for entry in list(self.list(folder, recursive=True)):
            self.delete(parse_uri(entry.uri))


def _make_entry(place: Place, item: dict[str, Any]) -> Entry:
    # Times are cut to the second, because HEAD gives no more.
    size, etag, modified_at = (
        get_field(place.shown, item, name) for name in ("Size", "ETag", "LastModified")
    )
    modified_at = modified_at.astimezone(UTC).replace(microsecond=0)
    entry = Entry(place.uri, size, etag.strip('"'), modified_at)
    hidden, what = hide_secret(place.uri), "a signature"
    if "\0" in place.key:  # no URI may hold it
        hidden, what = show_uri(hidden or place.uri), "a NUL"
    if hidden:
        error = StorageError(f"{show_uri(hidden)}: holds {what} in its name: rename it")
        return replace(entry, uri=hidden, error=error)
    return entry
