"""S3 answers that a healthy store does not give, from a scripted server on loopback."""

import datetime
import hashlib
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from separator.errors import (
    AccessDenied,
    BucketMissing,
    DiskFull,
    ObjectChanged,
    StorageBusy,
    StorageError,
    Throttled,
    TimedOut,
    TokenExpired,
    WrongRegion,
)
from separator.storage import Entry
from tests.helpers.scripted_s3 import ABOUT, ETAG, WHEN, Answer, fail, reach, serve
from tests.helpers.storage_data import PART, make_bytes

pytestmark = pytest.mark.usefixtures("credentials")


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (fail(503, "SlowDown"), Throttled, "too many requests"),
        (fail(500, "InternalError"), StorageBusy, "answered 500"),
        (fail(400, "RequestTimeout"), TimedOut, "gave up waiting"),
        (fail(400, "ExpiredToken"), TokenExpired, "have expired"),
        (fail(400, "BadDigest"), StorageBusy, "did not arrive as they were sent"),
        (fail(400, "IncompleteBody"), StorageBusy, "did not arrive as they were sent"),
        (fail(403, "RequestTimeTooSkewed"), AccessDenied, "clock is wrong"),
        (
            fail(400, "AuthorizationHeaderMalformed", x_amz_bucket_region="eu-west-3"),
            WrongRegion,
            "storage.region=eu-west-3",
        ),
        (fail(411, "MissingContentLength"), StorageError, "storage.checksums=when_required"),
        (fail(403, "InvalidObjectState"), StorageError, "archived"),
        (fail(507, "InsufficientCapacity"), DiskFull, "full"),
        (fail(501, "NotImplemented"), StorageError, "storage.conditional_writes=false"),
        (fail(418, "Teapot"), StorageError, "answered 418 Teapot"),
        (Answer(502, b"<html>bad gateway</html>"), StorageBusy, "answered 502"),
    ],
)
def test_write_explains_the_answer_of_the_store(answer, kind, message):
    with serve(answer) as server, pytest.raises(kind) as caught:
        reach(server).write("s3://bucket/key", b"data")
    assert message in str(caught.value)
    assert "AKIASECRET" not in str(caught.value), "the store's own text is not repeated"
    assert "\n" not in str(caught.value)
    assert len(server.seen) == (3 if issubclass(kind, StorageBusy) else 1)


@pytest.mark.parametrize("body", ["<!doctype html><p>console<br>", "<ListBucketResult><Name>b</Na"])
def test_list_says_that_an_answer_is_none_of_s3(body):
    with serve(Answer(200, body.encode())) as server, pytest.raises(StorageBusy) as caught:
        list(reach(server).list("s3://bucket/in"))
    assert "is no S3 answer, or only the beginning of one; check storage.endp" in str(caught.value)
    assert "500 500" not in str(caught.value) and body not in str(caught.value)


LISTING = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("", "IsTruncated"),
        ("<html><body>hello</body></html>", "IsTruncated"),
        (LISTING, "NextContinuationToken"),
    ],
)
def test_list_names_what_the_answer_lacks(body, name):
    with (
        serve(Answer(200, body.encode())) as server,
        pytest.raises(StorageError, match=f"the store's answer lacks {name}"),
    ):
        list(reach(server).list("s3://bucket/in/"))


def test_a_write_is_done_where_the_answer_is_that_of_a_store():
    with serve(Answer(200, b"<html></html>")) as server:
        storage = reach(server, part_bytes=PART)
        for write, field in [
            (lambda: storage.write("s3://bucket/key", b"data"), "ETag"),
            (lambda: storage.replace("s3://bucket/key", b"data", ETAG), "ETag"),
            (lambda: storage.write("s3://bucket/key", make_bytes(2 * PART)), "UploadId"),
        ]:
            with pytest.raises(StorageError, match=f"lacks {field}; is it an S3 store"):
                write()


def test_write_retries_errors_that_may_pass():
    with serve(fail(503, "SlowDown"), fail(500, "InternalError"), Answer(200, ETag=ETAG)) as server:
        reach(server).write("s3://bucket/key", b"data")
    assert [command for command, _ in server.seen] == ["PUT"] * 3


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_write_sends_a_checksum(checksums):
    with serve(Answer(200, ETag=ETAG)) as server:
        reach(server, checksums=checksums).write("s3://bucket/key", b"data")
    ((_, headers),) = server.seen
    names = {name.lower() for name in headers}
    assert names & {"x-amz-checksum-crc32", "x-amz-trailer", "content-md5"}
    if checksums == "when_required":
        assert "content-md5" in names and not any("checksum" in name for name in names)


def test_fetch_resumes_a_broken_read(tmp_path):
    data = make_bytes(100_000)
    cut = Answer(206, data[:30_000], len(data), ETag=f'"{ETAG}"')
    rest = Answer(206, data[30_000:], ETag=f'"{ETAG}"')
    entry = Entry("s3://bucket/key", len(data), ETAG, WHEN)
    with serve(cut, rest) as server:
        reach(server).fetch(entry.uri, tmp_path / "copy", entry)
    assert (tmp_path / "copy").read_bytes() == data
    asked = [headers["Range"] for _, headers in server.seen]
    assert asked == ["bytes=0-99999", "bytes=30000-99999"]
    assert all(headers["If-Match"] == f'"{ETAG}"' for _, headers in server.seen)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(206, b"x" * 10, ETag='"other"'), ObjectChanged, "changed after it was listed"),
        (Answer(200, b"x" * 99, ETag=f'"{ETAG}"'), StorageError, "sent 99 bytes instead of 10"),
    ],
    ids=["the condition", "the range"],
)
def test_fetch_detects_a_store_that_ignores_headers(tmp_path, answer, kind, message):
    entry = Entry("s3://bucket/key", 10, ETAG, WHEN)
    with serve(answer) as server, pytest.raises(kind, match=message):
        reach(server).fetch(entry.uri, tmp_path / "copy", entry)
    assert not (tmp_path / "copy").exists()


def test_fetch_ends_after_attempts_without_progress(tmp_path):
    entry = Entry("s3://bucket/key", 2 * PART, ETAG, WHEN)
    with serve(fail(503, "SlowDown")) as server, pytest.raises(Throttled):
        reach(server, part_bytes=PART).fetch(entry.uri, tmp_path / "copy", entry)
    assert 3 <= len(server.seen) <= 6


def test_read_detects_a_store_that_sends_less_than_it_has():
    head, cut = Answer(200, length=9, **ABOUT), Answer(200, b"part", **ABOUT)
    with serve(head, cut, head) as server, pytest.raises(StorageBusy, match="4 bytes arrived of 9"):
        reach(server).read("s3://bucket/key")
    assert [command for command, _ in server.seen] == ["HEAD", "GET", "HEAD"]


@pytest.mark.parametrize(("missing", "name"), [("Last_Modified", "LastModified"), ("ETag", "ETag")])
def test_stat_names_the_field_that_the_answer_lacks(missing, name):
    about = {key: value for key, value in ABOUT.items() if key != missing}
    with (
        serve(Answer(200, length=9, **about)) as server,
        pytest.raises(StorageError, match=f"s3://bucket/key: the store's answer lacks {name}"),
    ):
        reach(server).stat("s3://bucket/key")


def test_reads_name_the_field_that_the_answer_lacks(tmp_path):
    entry = Entry("s3://bucket/key", 4, ETAG, WHEN)
    with serve(Answer(206, b"data")) as server, pytest.raises(StorageError, match="lacks ETag"):
        reach(server).fetch(entry.uri, tmp_path / "copy", entry)
    with serve(Answer(200, b"data")) as server, pytest.raises(StorageError, match="lacks ETag"):
        reach(server).read_versioned(entry.uri)


OWN_ETAG = hashlib.md5(b"data").hexdigest()
REFUSED = fail(412, "PreconditionFailed")


def test_replace_tries_a_quoted_etag_where_a_bare_one_is_refused():
    """The object still has the expected etag: it was the spelling that the store refused."""
    with serve(REFUSED, Answer(200, ETag=f'"{ETAG}"'), Answer(200, ETag=f'"{OWN_ETAG}"')) as server:
        reach(server).replace("s3://bucket/key", b"data", ETAG)
    (_, first), (command, _), (_, last) = server.seen
    assert (first["If-Match"], command, last["If-Match"]) == (ETAG, "HEAD", f'"{ETAG}"')


@pytest.mark.parametrize("answer", [REFUSED, fail(404, "NoSuchKey")])
def test_replace_recognises_its_own_write_whose_answer_was_lost(answer):
    with serve(answer, Answer(200, ETag=f'"{OWN_ETAG}"')) as server:
        reach(server).replace("s3://bucket/key", b"data", ETAG)
    with serve(answer, Answer(200, ETag='"other"')) as server, pytest.raises(ObjectChanged):
        reach(server).replace("s3://bucket/key", b"data", ETAG)


def make_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_ca_bundle_is_needed_for_a_private_authority(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificate(tmp_path))
    with serve(Answer(200, ETag=ETAG), context=context) as server:
        with pytest.raises(StorageError, match=r"not trusted; set storage\.ca_bundle"):
            reach(server, "https").write("s3://bucket/key", b"data")
        reach(server, "https", ca_bundle=str(tmp_path / "ca.pem")).write("s3://bucket/key", b"d")
    assert [command for command, _ in server.seen] == ["PUT"]


@pytest.mark.parametrize("status", [400, 401])
def test_stat_asks_for_the_reason_that_an_answer_to_head_cannot_give(status):
    """AWS answers 400 to HEAD where a token has expired: the run is to end, not each asset."""
    reason = fail(400, "ExpiredToken")
    # botocore itself asks twice after 400, for the bucket may be in another region.
    answers = [Answer(status)] * (2 if status == 400 else 1)
    with serve(*answers, reason) as server, pytest.raises(TokenExpired, match="have expired"):
        reach(server).stat("s3://bucket/key")


def test_stat_of_what_is_no_store_says_so():
    with serve(Answer(400)) as server, pytest.raises(StorageError, match="is no S3 answer"):
        reach(server).stat("s3://bucket/key")


def test_exists_needs_no_right_to_look_at_the_bucket():
    with serve(Answer(404), Answer(403)) as server:
        assert not reach(server).exists("s3://bucket/key")
    with serve(Answer(404)) as server, pytest.raises(BucketMissing):
        reach(server).stat("s3://bucket/key")
