"""Storage on an object store: pages, ranges, parts, refusals."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from separator.errors import (
    AccessDenied,
    BucketMissing,
    ObjectChanged,
    RequestError,
    StorageError,
)
from separator.storage import Storage
from separator.storage.arrow import open_arrow
from separator.storage.s3_upload import cut
from tests.helpers.storage_data import PART, list_uploads, make_bytes

pytestmark = pytest.mark.usefixtures("credentials")


def fill(bucket, count: int) -> None:
    def put(number: int) -> None:
        bucket.admin.put_object(Bucket=bucket.name, Key=f"many/{number:05}.wav", Body=b"")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(count)))


@pytest.mark.slow
def test_list_yields_more_keys_than_a_page(rgw_bucket):
    fill(rgw_bucket, 5_200)
    listing = rgw_bucket.storage.list(f"{rgw_bucket.uri}/many")
    first = next(listing)
    assert first.uri.endswith("/00000.wav")
    assert sum(1 for _ in listing) == 5_199


def test_list_requests_pages_on_demand(moto_bucket):
    fill(moto_bucket, 1_100)
    asked = []
    events = moto_bucket.admin.meta.events
    events.register("before-send.s3.ListObjectsV2", lambda **_: asked.append(1), unique_id="count")
    try:
        listing = moto_bucket.storage.list(f"{moto_bucket.uri}/many/")
        for _ in range(1_000):
            next(listing)
        assert len(asked) == 1
        assert sum(1 for _ in listing) == 100
        assert len(asked) == 2
    finally:
        events.unregister("before-send.s3.ListObjectsV2", unique_id="count")


def test_write_and_fetch_large_objects_in_parts(bucket, tmp_path):
    storage, uri = bucket.change(part_bytes=PART, connections=4), f"{bucket.uri}/large.bin"
    data = make_bytes(5 * PART + 12_345)
    storage.write(uri, iter([data[:1000], data[1000:]]))
    head = bucket.admin.head_object(Bucket=bucket.name, Key="large.bin")
    assert head["ETag"].strip('"').endswith("-6"), "six parts"
    storage.fetch(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert list_uploads(bucket) == []
    storage.upload(tmp_path / "copy", f"{bucket.uri}/again.bin")
    assert storage.read(f"{bucket.uri}/again.bin") == data


def test_write_aborts_a_failed_upload(bucket):
    def fail():
        yield make_bytes(3 * PART)
        # The parts are on their way: without an abort they would stay and be paid for.
        assert list_uploads(bucket) == ["x.bin"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bucket.change(part_bytes=PART).write(f"{bucket.uri}/x.bin", fail())
    assert list_uploads(bucket) == []
    assert not bucket.storage.exists(f"{bucket.uri}/x.bin")


def test_write_if_absent_aborts_a_late_upload(rgw_bucket):
    # RGW does not look at the condition when it puts parts together, so it is looked at before.
    storage, uri = rgw_bucket.change(part_bytes=PART), f"{rgw_bucket.uri}/x.bin"
    storage.write(uri, b"first")
    with pytest.raises(StorageError, match="exists already"):
        storage.write(uri, make_bytes(2 * PART), if_absent=True)
    assert list_uploads(rgw_bucket) == []
    assert storage.read(uri) == b"first"


def test_fetch_raises_if_the_object_changes(bucket, tmp_path):
    storage, uri = bucket.change(part_bytes=PART, connections=1), f"{bucket.uri}/x.bin"
    storage.write(uri, make_bytes(3 * PART, 1))
    asked = []

    def change(**_) -> None:
        asked.append(1)
        if len(asked) == 2:
            Storage(bucket.settings).write(uri, make_bytes(3 * PART, 2))

    events = storage._find(uri)[0].client.api.meta.events  # pyright: ignore
    events.register("before-send.s3.GetObject", change, unique_id="change")
    try:
        with pytest.raises(ObjectChanged, match=r"x\.bin"):
            storage.fetch(uri, tmp_path / "copy")
    finally:
        events.unregister("before-send.s3.GetObject", unique_id="change")
    assert len(asked) >= 2
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("key", "secret", "reason"),
    [
        ("ci", "not-the-secret", "wrong secret key"),
        ("nobody", "ci-secret-key", "unknown access key"),
    ],
)
def test_wrong_keys_are_refused_and_not_shown(rgw_bucket, monkeypatch, key, secret, reason):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    storage = rgw_bucket.storage
    with pytest.raises(AccessDenied, match=reason) as caught:
        storage.write(f"{rgw_bucket.uri}/x", b"")
    assert secret not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__, "botocore's frames are of no use to anybody"
    # HEAD has no body, so the reason is not told: what is known is that it was refused.
    with pytest.raises(AccessDenied, match="access denied"):
        storage.stat(f"{rgw_bucket.uri}/x")


def test_missing_keys_raise_access_denied(moto_bucket, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(AccessDenied, match=r"no credentials.*storage.anonymous"):
        moto_bucket.storage.read(f"{moto_bucket.uri}/x")
    with pytest.raises(RequestError, match=r"storage.profile='absent': no such profile"):
        moto_bucket.change(profile="absent").read(f"{moto_bucket.uri}/x")


def test_profile_gives_the_keys(rgw_bucket, monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        "[profile archive]\naws_access_key_id = ci\naws_secret_access_key = ci-secret-key\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage = rgw_bucket.change(profile="archive")
    storage.write(f"{rgw_bucket.uri}/x", b"data")
    system, path = open_arrow(storage.settings, f"{rgw_bucket.uri}/x")
    assert system.open_input_stream(path).read() == b"data"


def test_anonymous_reads_public_objects_only(rgw_bucket):
    admin, name = rgw_bucket.admin, rgw_bucket.name
    admin.put_object(Bucket=name, Key="public", Body=b"all", ACL="public-read")
    admin.put_object(Bucket=name, Key="private", Body=b"us")
    nobody = rgw_bucket.change(anonymous=True)
    assert nobody.read(f"{rgw_bucket.uri}/public") == b"all"
    with pytest.raises(AccessDenied):
        nobody.read(f"{rgw_bucket.uri}/private")


def test_missing_bucket_raises(bucket):
    for action in (
        lambda: bucket.storage.stat("s3://absent-bucket/x"),
        lambda: list(bucket.storage.list("s3://absent-bucket/x")),
        lambda: bucket.storage.write("s3://absent-bucket/x", b""),
        lambda: bucket.storage.write("s3://absent-bucket/x", make_bytes(20 << 20)),
    ):
        with pytest.raises(BucketMissing, match=r"storage\.endpoint_url"):
            action()


def test_newer_checksums_on_an_older_store_name_the_setting(rgw_bucket):
    """RGW 16 refuses them; the message says what to set, and set so everything works."""
    storage = rgw_bucket.change(checksums="when_supported", part_bytes=PART)
    try:
        storage.write(f"{rgw_bucket.uri}/x", make_bytes(2 * PART))
    except StorageError as error:
        assert "storage.checksums=when_required" in str(error)
    else:
        assert storage.read(f"{rgw_bucket.uri}/x") == make_bytes(2 * PART)
    rgw_bucket.change(part_bytes=PART).write(f"{rgw_bucket.uri}/x", make_bytes(2 * PART))


def test_open_arrow_reads_the_same_objects(bucket, monkeypatch):
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION", raising=False)
    monkeypatch.delenv("AWS_RESPONSE_CHECKSUM_VALIDATION", raising=False)
    table = pa.table({"uri": ["a", "b"], "n": [1, 2]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    bucket.storage.write(f"{bucket.uri}/t/x.parquet", sink.getvalue().to_pybytes())
    system, path = open_arrow(bucket.settings, f"{bucket.uri}/t")
    assert pq.read_table(path, filesystem=system).equals(table)


STREAM = """
import resource, sys
from separator.storage import Storage, StorageSettings
settings = StorageSettings(
    endpoint_url=sys.argv[1], region="us-east-1", checksums="when_required", part_bytes=5 << 20
)
storage = Storage(settings)
storage.write(sys.argv[2] + "/small", b"x")  # boto3 itself is loaded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
storage.write(sys.argv[2] + "/large", (bytes(1 << 20) for _ in range(400)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_stream_is_written_in_bounded_memory(rgw_bucket):
    command = [sys.executable, "-c", STREAM, rgw_bucket.settings.endpoint_url, rgw_bucket.uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert rgw_bucket.storage.stat(f"{rgw_bucket.uri}/large").num_bytes == 400 << 20
    assert int(done.stdout) < 80_000, "KiB, of the 409,600 that were written"


def test_importing_storage_does_not_load_boto3():
    code = "import sys, separator.storage; print('boto3' in sys.modules, 'pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False False\n", done.stderr


def test_cut_returns_pieces_of_one_size():
    for sizes in ([], [0], [7], [3, 3, 3], [10, 1], [25], [5, 5]):
        blocks = [make_bytes(n, n) for n in sizes]
        pieces = list(cut(blocks, 5))
        assert b"".join(pieces) == b"".join(blocks)
        assert all(len(piece) == 5 for piece in pieces[:-1])
        assert all(pieces)
