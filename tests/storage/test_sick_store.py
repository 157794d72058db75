"""A store behind a proxy that is busy, cuts its answers, is slow, or lies about lengths."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from separator.errors import ObjectChanged, StorageBusy, StorageError, Throttled
from separator.storage import Storage
from tests.helpers import proxy as sick
from tests.helpers.storage_data import make_bytes

# A third of all answers are no good: twenty of those in a row do not happen.
PATIENT = {"attempts": 20, "backoff_s": 0.001}


@pytest.fixture
def proxy(moto) -> Iterator[sick.Proxy]:
    with sick.serve_proxy(moto) as proxy:
        yield proxy


def reach(bucket, proxy: sick.Proxy, **changes) -> Storage:
    settings = {"endpoint_url": proxy.url, "backoff_s": 0.001} | changes
    return Storage(replace(bucket.settings, **settings))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))]
)
def test_storage_reads_and_writes_through_busy_cut_and_slow_answers(
    moto_bucket, proxy, tmp_path, seed
):
    proxy.choose = sick.choose_at_random(seed, sick.BUSY, sick.CUT, sick.SLOW)
    storage, root = reach(moto_bucket, proxy, **PATIENT), f"{moto_bucket.uri}/x"
    contents = {f"{root}/{i}": make_bytes(100 * i * i, i) for i in range(5)}
    for uri, data in contents.items():
        storage.write(uri, data, if_absent=True)
    found = {entry.uri: entry for entry in storage.list(root)}
    assert found.keys() == contents.keys()
    for uri, data in contents.items():
        assert found[uri].num_bytes == len(data) and storage.read(uri) == data
        storage.fetch(uri, tmp_path / "copy", found[uri])
        assert (tmp_path / "copy").read_bytes() == data
        _, version = storage.read_versioned(uri)
        storage.replace(uri, b"new", version)
        with pytest.raises(ObjectChanged):
            storage.replace(uri, b"newer", version)
        assert moto_bucket.storage.read(uri) == b"new"
    storage.clear(root)
    assert list(moto_bucket.storage.list(f"{root}/")) == []


def test_storage_that_stays_busy_is_given_up_by_every_call(moto_bucket, proxy, tmp_path):
    uri = f"{moto_bucket.uri}/x"
    moto_bucket.storage.write(uri, b"data")
    entry = moto_bucket.storage.stat(uri)
    proxy.choose = sick.choose_busy
    storage = reach(moto_bucket, proxy, attempts=3)
    calls = [
        lambda: storage.stat(uri),
        lambda: storage.read(uri),
        lambda: list(storage.list(uri)),
        lambda: storage.fetch(uri, tmp_path / "copy", entry),
        lambda: storage.write(uri, b"other"),
        lambda: storage.replace(uri, b"other", entry.etag),
        lambda: storage.delete(uri),
    ]
    for call in calls:
        with pytest.raises(Throttled, match="too many requests"):
            call()
    assert moto_bucket.storage.read(uri) == b"data" and not (tmp_path / "copy").exists()


def test_fetch_and_read_notice_lengths_that_are_not_those_of_the_object(
    moto_bucket, proxy, tmp_path
):
    uri, data = f"{moto_bucket.uri}/x", make_bytes(10_000)
    moto_bucket.storage.write(uri, data)
    entry = moto_bucket.storage.stat(uri)
    storage = reach(moto_bucket, proxy, attempts=3)
    for choice, kind in ((sick.SHORT, StorageError), (sick.CUT, StorageBusy)):
        proxy.choose = lambda method, path, choice=choice: choice if method == "GET" else sick.WELL
        with pytest.raises(kind):
            storage.fetch(uri, tmp_path / "copy", entry)
        with pytest.raises(StorageBusy):
            storage.read(uri)
    assert not (tmp_path / "copy").exists()
