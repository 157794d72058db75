"""Objects on S3 that are damaged on their way, or have names that nobody would choose."""

import base64
import zlib
from collections.abc import Sequence
from urllib.parse import quote

import pytest

from separator.errors import StorageBusy, StorageError
from separator.storage import Entry
from tests.helpers.scripted_s3 import ETAG, WHEN, Answer, reach, serve
from tests.helpers.storage_data import make_bytes

pytestmark = pytest.mark.usefixtures("credentials")

DATA = make_bytes(100_000)
ENTRY = Entry("s3://bucket/key", len(DATA), ETAG, WHEN)
SECRET = "0af3b1"
NAMES = ["news/a.wav", f"news/talk.mp4?X-Amz-Signature={SECRET}", "news/z.wav"]


def send(body: bytes) -> Answer:
    """Send a body with the checksum of DATA."""
    crc = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
    return Answer(206, body, ETag=f'"{ETAG}"', x_amz_checksum_crc32=crc)


def damage() -> bytes:
    body = bytearray(DATA)
    body[50_000] ^= 1
    return bytes(body)


def test_fetch_reads_a_body_with_a_wrong_checksum_again(tmp_path):
    with serve(send(damage()), send(DATA)) as server:
        reach(server).fetch(ENTRY.uri, tmp_path / "copy", ENTRY)
    assert (tmp_path / "copy").read_bytes() == DATA and len(server.seen) == 2


def test_fetch_ends_where_each_body_has_a_wrong_checksum(tmp_path):
    with serve(send(damage())) as server, pytest.raises(StorageBusy):
        reach(server).fetch(ENTRY.uri, tmp_path / "copy", ENTRY)
    assert len(server.seen) == 3 and not (tmp_path / "copy").exists()


def list_names(names: Sequence[str] = NAMES) -> Answer:
    contents = "".join(
        f"<Contents><Key>{quote(name)}</Key><Size>5</Size><ETag>&quot;{ETAG}&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for name in names
    )
    page = f"<Name>bucket</Name>{contents}<EncodingType>url</EncodingType>"
    return Answer(200, f"<ListBucketResult>{page}</ListBucketResult>".encode())


def test_a_signature_in_a_name_fails_its_object_and_no_other():
    with serve(list_names()) as server:
        found = list(reach(server).list("s3://bucket/news/", with_errors=True))
    assert [entry.error is None for entry in found] == [True, False, True]
    assert found[1].uri == "s3://bucket/news/talk.mp4?***"
    assert "rename it" in str(found[1].error) and SECRET not in str(found)


@pytest.mark.parametrize(("include", "exclude"), [(["*.wav"], []), ([], ["talk*"])])
def test_patterns_leave_out_an_object_with_a_signature_in_its_name(include, exclude):
    with serve(list_names()) as server:
        found = list(reach(server).list("s3://bucket/news/", include, exclude))
    assert [entry.uri for entry in found] == ["s3://bucket/news/a.wav", "s3://bucket/news/z.wav"]


def test_a_signature_in_a_name_ends_a_listing_that_asks_for_all():
    with serve(list_names()) as server, pytest.raises(StorageError, match=r"talk.mp4\?\*\*\*"):
        list(reach(server).list("s3://bucket/news/"))


def test_a_nul_in_a_name_fails_its_object_and_no_other():
    with serve(list_names(["news/a\0.wav", "news/b.wav"])) as server:
        odd, plain = reach(server).list("s3://bucket/news/", ["*.wav"], with_errors=True)
    assert odd.uri == r"s3://bucket/news/a\x00.wav" and "holds a NUL" in str(odd.error)
    assert plain.uri == "s3://bucket/news/b.wav" and plain.error is None
