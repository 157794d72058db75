"""A store that is not there, does not answer, or goes away in the middle and comes back."""

import threading
import time

import pytest

from separator.errors import TimedOut, Unreachable
from separator.storage import Storage, StorageSettings
from tests.helpers.storage_data import PART, list_uploads, make_bytes

pytestmark = pytest.mark.usefixtures("credentials")


def test_a_store_that_is_not_there():
    settings = StorageSettings(
        endpoint_url="http://127.0.0.1:9", region="us-east-1", attempts=3, backoff_s=0.1
    )
    start = time.monotonic()
    with pytest.raises(Unreachable, match=r"127.0.0.1:9 cannot be reached"):
        Storage(settings).read("s3://bucket/x")
    # Two waits of at least half of 0.1 and 0.2 s.
    assert 0.15 <= time.monotonic() - start < 10


def test_a_store_that_does_not_answer():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = StorageSettings(
            endpoint_url=url, region="us-east-1", attempts=2, backoff_s=0.05, timeout_s=0.3
        )
        with pytest.raises(TimedOut, match=r"no answer from .* in 0.3 s"):
            Storage(settings).read("s3://bucket/x")


def test_a_store_that_is_stopped_in_the_middle_of_an_upload_and_started_again(rgw_bucket, tmp_path):
    uri, data = f"{rgw_bucket.uri}/x.bin", make_bytes(6 * PART)
    storage = rgw_bucket.change(part_bytes=PART, attempts=8, backoff_s=0.5)
    restarted = []

    def restart() -> None:
        time.sleep(1.5)
        rgw_bucket.gateway.start_gateway()
        restarted.append(1)

    def send():
        yield data[: 2 * PART]
        rgw_bucket.gateway.stop_gateway()
        thread = threading.Thread(target=restart)
        thread.start()
        yield data[2 * PART :]
        thread.join()

    storage.write(uri, send())
    assert restarted
    storage.fetch(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert list_uploads(rgw_bucket) == []


def test_a_store_that_is_stopped_in_the_middle_of_a_read_and_started_again(rgw_bucket, tmp_path):
    uri, data = f"{rgw_bucket.uri}/x.bin", make_bytes(6 * PART)
    storage = rgw_bucket.change(part_bytes=PART, attempts=8, backoff_s=0.5, connections=1)
    storage.write(uri, data)
    events = storage._find(uri)[0].client.api.meta.events  # pyright: ignore
    threads = []

    def stop(**_) -> None:
        if not threads:
            rgw_bucket.gateway.stop_gateway()
            threads.append(threading.Timer(1.5, rgw_bucket.gateway.start_gateway))
            threads[0].start()

    events.register("after-call.s3.GetObject", stop, unique_id="stop")
    try:
        storage.fetch(uri, tmp_path / "copy")
    finally:
        events.unregister("after-call.s3.GetObject", unique_id="stop")
        threads[0].join()
    assert (tmp_path / "copy").read_bytes() == data


def test_a_first_write_whose_answer_was_lost_is_still_the_first(rgw_bucket):
    """The store has the object, the answer never came, and the second attempt hears `exists`."""
    storage, uri = rgw_bucket.change(attempts=3), f"{rgw_bucket.uri}/x"
    events = storage._find(uri)[0].client.api.meta.events  # pyright: ignore
    from botocore.exceptions import ConnectionClosedError

    lost = []

    def lose(**_) -> None:
        if not lost:
            lost.append(1)
            raise ConnectionClosedError(endpoint_url="http://127.0.0.1")

    events.register("after-call.s3.PutObject", lose, unique_id="lose")
    try:
        storage.write(uri, b"mine", if_absent=True)
    finally:
        events.unregister("after-call.s3.PutObject", unique_id="lose")
    assert lost
    assert storage.read(uri) == b"mine"
