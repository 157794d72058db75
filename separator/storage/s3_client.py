"""Make one boto3 client per process and settings, and call it with retries."""

import os
import re
import ssl
import threading
from functools import lru_cache
from typing import Any

import botocore
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ProfileNotFound

from separator.errors import AccessDenied, RequestError, StorageError
from separator.storage.s3_errors import Unexplained, retry
from separator.storage.s3_settings import StorageSettings
from separator.storage.uri import Place

# `auto` puts the bucket into the path if there is an endpoint; `virtual` never does.
STYLES = {None: "auto", True: "path", False: "virtual"}
_lock = threading.Lock()


def get_client(settings: StorageSettings) -> Any:
    """Return the client of this process for these settings; threads share it. A client made before
    the variables of AWS changed, in a notebook say, would go on without the new credentials."""
    variables = frozenset(each for each in os.environ.items() if each[0].startswith("AWS_"))
    with _lock:
        return _make_client(settings, os.getpid(), variables)


@lru_cache(maxsize=8)
def _make_client(settings: StorageSettings, pid: int, variables: frozenset[tuple[str, str]]) -> Any:
    config = Config(
        # No retries here: botocore's do not cover the body of an answer.
        retries={"total_max_attempts": 1},
        connect_timeout=min(10.0, settings.timeout_s),
        read_timeout=settings.timeout_s,
        max_pool_connections=settings.connections,
        s3={"addressing_style": STYLES[settings.path_style]},
        request_checksum_calculation=settings.checksums,  # pyright: ignore[reportArgumentType]
        response_checksum_validation=settings.checksums,  # pyright: ignore[reportArgumentType]
        signature_version=botocore.UNSIGNED if settings.anonymous else None,
    )
    session = _open_session(settings)
    if settings.ca_bundle is not None:
        check_ca_bundle(settings.ca_bundle)
    try:
        return session.client(
            "s3", endpoint_url=settings.endpoint_url, verify=settings.ca_bundle, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise _explain(error) from None


def check_ca_bundle(path: str) -> None:
    """Refuse a file without certificates: boto3 would call the store's certificate untrusted. If
    only one machine lacks the file, a later run tries its assets again."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        reason = "holds no certificates (PEM)"
    except OSError as error:
        reason = error.strerror
    else:
        return
    raise StorageError(f"storage.ca_bundle={path!r}: {reason}")


def _open_session(settings: StorageSettings) -> Session:
    try:
        return Session(profile_name=settings.profile, region_name=settings.region)
    except ProfileNotFound as error:
        name = error.kwargs["profile"]
        raise RequestError(
            f"storage.profile={name!r}: no such profile in the AWS configuration"
        ) from None
    except (BotoCoreError, ValueError) as error:
        raise _explain(error) from None


def _explain(error: Exception) -> RequestError:
    reason = re.sub("//[^/]*@", "//", " ".join(str(error).split()))  # without a password
    return RequestError(
        f"the settings of S3: {reason}; look at storage.endpoint_url, storage.region,"
        " storage.ca_bundle, the variables AWS_... and ~/.aws/config"
    )


def get_credentials(settings: StorageSettings) -> Any:
    """Return the current key, secret and token, for libraries that cannot resolve a profile."""
    found = _open_session(settings).get_credentials()
    if found is None:
        raise AccessDenied(f"storage.profile={settings.profile!r}: has no credentials")
    return found.get_frozen_credentials()


class Client:
    """`call` retries and returns a whole answer; `api` is for answers that are streamed."""

    def __init__(self, settings: StorageSettings) -> None:
        self.settings = settings
        self.api = get_client(settings)

    def call(self, name: str, place: Place, **arguments: Any) -> dict[str, Any]:
        method = getattr(self.api, name)
        try:
            return retry(
                self.settings, place.shown, lambda: method(Bucket=place.bucket, **arguments)
            )
        except Unexplained:
            if name == "head_object":
                self._ask_reason(place, **arguments)
            raise

    def _ask_reason(self, place: Place, **arguments: Any) -> None:
        """Read the first byte, because HEAD gives no reason, such as an expired token."""

        def ask() -> None:
            answer = self.api.get_object(Bucket=place.bucket, Range="bytes=0-0", **arguments)
            answer["Body"].close()

        retry(self.settings, place.shown, ask)
