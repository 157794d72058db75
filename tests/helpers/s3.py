"""Real S3 servers on loopback, each started once, and credentials that only they know."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from separator.storage import Storage, StorageSettings
from separator.storage.s3_client import get_client
from tests.helpers.rgw import KEY, SECRET, Gateway, find_missing
from tests.helpers.servers import running

# Quick, so that a test of giving up does not take minutes.
QUICK = {"region": "us-east-1", "backoff_s": 0.05, "timeout_s": 10.0}


@dataclass(frozen=True)
class Bucket:
    """A fresh bucket, and how to reach it. `admin` is boto3's client, the referee."""

    name: str
    settings: StorageSettings
    gateway: Gateway | None

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"

    @property
    def storage(self) -> Storage:
        return Storage(self.settings)

    @property
    def admin(self):
        return get_client(self.settings)

    def change(self, **changes) -> Storage:
        return Storage(replace(self.settings, **changes))


RGW = pytest.param("rgw", marks=pytest.mark.gateway)


@contextmanager
def serve_moto(ignored: tuple[str, ...] = ()) -> Iterator[str]:
    """One request at a time: moto checks a condition and writes in two steps."""
    app, mutex = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def answer(environ, start_response):
        for name in ignored:
            environ.pop(name, None)
        with mutex:
            return list(app(environ, start_response))

    server = make_server("127.0.0.1", 0, answer, True, request_handler=MotoRequestHandler)
    with running(server) as url:
        yield url


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    with serve_moto() as url:
        yield url


@pytest.fixture(scope="session")
def lax_moto() -> Iterator[str]:
    with serve_moto(("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")) as url:
        yield url


@pytest.fixture(scope="session")
def gateway(tmp_path_factory) -> Iterator[Gateway]:
    if missing := find_missing():
        pytest.fail(f"Ceph's gateway is not installed ({', '.join(missing)}): `make rgw`")
    server = Gateway(tmp_path_factory.mktemp("rgw"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def credentials(monkeypatch):
    set_credentials(monkeypatch)


def set_credentials(patch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_ACCESS_KEY_ID", KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    # No machine's role is asked for: nothing outside is touched.
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def make_bucket(settings: StorageSettings, gateway: Gateway | None) -> Bucket:
    bucket = Bucket(f"b-{uuid.uuid4().hex[:12]}", settings, gateway)
    bucket.admin.create_bucket(Bucket=bucket.name)
    return bucket


@pytest.fixture
def moto_bucket(moto, credentials) -> Bucket:
    return make_bucket(StorageSettings(endpoint_url=moto, **QUICK), None)


@pytest.fixture
def lax_bucket(lax_moto, credentials) -> Bucket:
    """Of a store that ignores conditional writes."""
    return make_bucket(StorageSettings(endpoint_url=lax_moto, **QUICK), None)


@pytest.fixture
def rgw_bucket(gateway, credentials) -> Bucket:
    url = gateway.endpoint_url
    return make_bucket(
        StorageSettings(endpoint_url=url, checksums="when_required", **QUICK), gateway
    )


@pytest.fixture(params=["moto", RGW])
def bucket(request) -> Bucket:
    return request.getfixturevalue(f"{request.param}_bucket")


@pytest.fixture(params=["local", "moto", RGW])
def folder(request, tmp_path) -> tuple[Storage, str]:
    """A storage and the URI of an empty folder in it."""
    if request.param == "local":
        return Storage(), str(tmp_path / "folder")
    bucket = request.getfixturevalue(f"{request.param}_bucket")
    return bucket.storage, f"{bucket.uri}/folder"
