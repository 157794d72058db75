"""An S3 store that is missing, silent, or restarted in the middle of a request."""

import threading
import time

import pytest

from separator.errors import TimedOut, Unreachable
from separator.storage import Storage, StorageSettings
from tests.helpers.storage_data import PART, list_uploads, make_bytes

pytestmark = pytest.mark.usefixtures("credentials")


def test_read_raises_unreachable_without_a_store():
    settings = StorageSettings(
        endpoint_url="http://127.0.0.1:9", region="us-east-1", attempts=3, backoff_s=0.1
    )
    with pytest.raises(Unreachable, match=r"127.0.0.1:9 cannot be reached"):
        Storage(settings).read("s3://bucket/x")


def test_read_raises_timed_out_without_an_answer():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = StorageSettings(
            endpoint_url=url, region="us-east-1", attempts=2, backoff_s=0.05, timeout_s=0.3
        )
        with pytest.raises(TimedOut, match=r"no answer from .* in 0.3 s"):
            Storage(settings).read("s3://bucket/x")


def test_write_survives_a_restart_of_the_store(rgw_bucket, tmp_path):
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


def test_fetch_survives_a_restart_of_the_store(rgw_bucket, tmp_path):
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


def test_write_if_absent_recognises_its_own_write_whose_answer_was_lost(rgw_bucket):
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
