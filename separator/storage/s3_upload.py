"""Write objects to an S3 store: one PUT, or a multipart upload."""

import base64
import hashlib
import itertools
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from separator.errors import ObjectChanged, ObjectExists, ObjectMissing, StorageError
from separator.storage.s3_client import Client
from separator.storage.s3_errors import UploadMissing, get_field
from separator.storage.uri import Place

log = logging.getLogger(__name__)

MAX_PARTS = 10_000
# Parts of one upload in flight; memory holds one more.
PARTS_IN_FLIGHT = 4
# Types of files that browsers open, by ending: without a type, a browser would download the file.
CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "webm": "video/webm",
}


class Writer:
    """Write one object."""

    def __init__(self, client: Client, place: Place, if_absent: bool) -> None:
        self.client = client
        self.place = place
        self.if_absent = if_absent
        self.settings = client.settings
        kind = CONTENT_TYPES.get(place.key.rpartition(".")[2])
        self.about = {"ContentType": kind} if kind else {}

    def write(self, blocks: Iterable[bytes]) -> None:
        parts = cut(blocks, self.settings.part_bytes)
        first, second = next(parts, b""), next(parts, None)
        if second is None:
            self._put(first)
        else:
            self._upload(itertools.chain([first, second], parts))

    def _call(self, name: str, **arguments: Any) -> dict[str, Any]:
        return self.client.call(name, self.place, Key=self.place.key, **arguments)

    @property
    def _condition(self) -> dict[str, str]:
        is_sent = self.if_absent and self.settings.conditional_writes
        return {"IfNoneMatch": "*"} if is_sent else {}

    @property
    def _taken(self) -> ObjectExists:
        return ObjectExists(f"{self.place.shown}: exists already")

    @property
    def _changed(self) -> ObjectChanged:
        return ObjectChanged(f"{self.place.shown}: another writer wrote it meanwhile")

    def _digest(self, data: bytes) -> dict[str, str]:
        """Make an MD5 header, by which stores without newer checksums refuse damaged bytes."""
        if self.settings.checksums == "when_supported":
            return {}  # boto3 adds its own
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        return {"ContentMD5": base64.b64encode(digest).decode()}

    def _put(self, data: bytes) -> None:
        if self.if_absent and not self.settings.conditional_writes:
            self._look()
        try:
            self._send(data, **self._condition)
        except ObjectChanged:
            # The answer to an earlier attempt may have been lost: then the object is this one.
            if self._find_etag() != _hash(data):
                raise self._taken from None

    def replace(self, data: bytes, version: str) -> None:
        """Send one PUT that the store refuses if the object has another etag than `version`."""
        if not self.settings.conditional_writes:
            if self._find_etag() != version:
                raise self._changed
            self._send(data)
            return
        # Ceph 16 compares the header with the bare etag; the standard says with quotes.
        for header in (version, f'"{version}"'):
            try:
                self._send(data, IfMatch=header)
                return
            except (ObjectChanged, ObjectMissing):
                found = self._find_etag()
                if found == _hash(data):  # the answer to an earlier attempt was lost
                    return
                if found != version:
                    break
        raise self._changed

    def _send(self, data: bytes, **condition: str) -> None:
        """Send one PUT. An answer without an etag comes from no S3 store, whatever its status."""
        about = self._digest(data) | self.about | condition
        get_field(self.place.shown, self._call("put_object", Body=data, **about), "ETag")

    def _find_etag(self) -> str | None:
        try:
            return get_field(self.place.shown, self._call("head_object"), "ETag").strip('"')
        except ObjectMissing:
            return None

    def _upload(self, parts: Iterator[bytes]) -> None:
        answer = self._call("create_multipart_upload", **self.about)
        upload = get_field(self.place.shown, answer, "UploadId")
        try:
            done, num_bytes = self._upload_parts(upload, parts)
            self._complete(upload, done, num_bytes)
        except BaseException:  # also if the job is stopped: parts left behind cost money
            self._abort(upload)
            raise

    def _upload_parts(
        self, upload: str, parts: Iterator[bytes]
    ) -> tuple[list[dict[str, Any]], int]:
        done: list[dict[str, Any]] = []
        num_bytes = 0
        on_the_way: deque[Future[dict[str, Any]]] = deque()
        pool = ThreadPoolExecutor(PARTS_IN_FLIGHT)
        try:
            for number, data in enumerate(parts, start=1):
                if number > MAX_PARTS:
                    raise StorageError(
                        f"{self.place.shown}: longer than {MAX_PARTS:,} parts of "
                        f"{self.settings.part_bytes:,} bytes; raise storage.part_bytes"
                    )
                on_the_way.append(pool.submit(self._upload_part, upload, number, data))
                num_bytes += len(data)
                if len(on_the_way) == PARTS_IN_FLIGHT:
                    done.append(on_the_way.popleft().result())
            done += [job.result() for job in on_the_way]
        finally:
            pool.shutdown(cancel_futures=True)
        return done, num_bytes

    def _upload_part(self, upload: str, number: int, data: bytes) -> dict[str, Any]:
        about = {"UploadId": upload, "PartNumber": number, **self._digest(data)}
        answer = self._call("upload_part", Body=data, **about)
        sums = {k: v for k, v in answer.items() if k.startswith("Checksum") and isinstance(v, str)}
        sums.pop("ChecksumType", None)
        return {"PartNumber": number, "ETag": get_field(self.place.shown, answer, "ETag")} | sums

    def _complete(self, upload: str, parts: list[dict[str, Any]], num_bytes: int) -> None:
        about = {"UploadId": upload, "MultipartUpload": {"Parts": parts}}
        if self.if_absent:
            self._look()
        try:
            answer = self._call("complete_multipart_upload", **about, **self._condition)
            get_field(self.place.shown, answer, "ETag")
        except ObjectChanged:
            raise self._taken from None
        except UploadMissing:
            # No other writer knows the upload's id: an earlier attempt has completed the upload,
            # and its answer was lost.
            head = self._call("head_object")
            if get_field(self.place.shown, head, "ContentLength") != num_bytes:
                raise

    def _look(self) -> None:
        """Raise ObjectExists if it exists: some stores ignore the condition of an upload."""
        if self._find_etag() is not None:
            raise self._taken

    def _abort(self, upload: str) -> None:
        try:
            self._call("abort_multipart_upload", UploadId=upload)
        except UploadMissing:
            pass
        except StorageError as error:
            log.warning("an unfinished upload was left in the bucket: %s", error)


def _hash(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def cut(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Cut a stream into pieces of `size` bytes; the last one may be shorter."""
    held = bytearray()
    for block in blocks:
        for at in range(0, len(block), size):
            held += block[at : at + size]
            if len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
    if held:
        yield bytes(held)
