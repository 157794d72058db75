"""Turn the errors of an S3 store into errors of one line that say the way out, and retry.

Only the store's error code and status are taken from an answer. Its text is not: some stores put
the key id or a signed request into it.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

from separator.errors import (
    AccessDenied,
    BucketMissing,
    DiskFull,
    ObjectChanged,
    ObjectMissing,
    RequestError,
    StorageBusy,
    StorageError,
    Throttled,
    TimedOut,
    TokenExpired,
    Unreachable,
    WrongRegion,
)
from separator.storage.s3_settings import StorageSettings

Result = TypeVar("Result")


class UploadMissing(StorageError):
    """The parts of an upload are gone. Handled by the upload itself, never shown."""


class Unexplained(StorageError):
    """The answer has a status and no error code of S3."""


KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, storage.profile, or the machine's role"
DENIED = f"access denied; {KEYS}, and what they are allowed"
EXPIRED = "the session's credentials have expired; renew them"
DAMAGED = "the bytes did not arrive as they were sent"
REGION = "the bucket is in another region; set storage.region"
# Errors by the store's code; BY_STATUS has the code for answers without a body (HEAD).
BY_CODE: dict[str, tuple[type[StorageError], str]] = {
    "NoSuchBucket": (BucketMissing, "no such bucket; set storage.endpoint_url for another store"),
    "NoSuchKey": (ObjectMissing, "no such object"),
    "NoSuchUpload": (UploadMissing, "the upload was aborted by another program"),
    "AccessDenied": (AccessDenied, DENIED),
    "AllAccessDisabled": (AccessDenied, DENIED),
    "InvalidAccessKeyId": (AccessDenied, f"unknown access key; {KEYS}"),
    "SignatureDoesNotMatch": (AccessDenied, f"wrong secret key; {KEYS}"),
    "RequestTimeTooSkewed": (AccessDenied, "this machine's clock is wrong"),
    "ExpiredToken": (TokenExpired, EXPIRED),
    "ExpiredTokenException": (TokenExpired, EXPIRED),
    "TokenRefreshRequired": (TokenExpired, EXPIRED),
    "InvalidToken": (TokenExpired, EXPIRED),
    "PermanentRedirect": (WrongRegion, REGION),
    "AuthorizationHeaderMalformed": (WrongRegion, REGION),
    "IllegalLocationConstraintException": (WrongRegion, REGION),
    "SlowDown": (Throttled, "too many requests"),
    "TooManyRequests": (Throttled, "too many requests"),
    "RequestLimitExceeded": (Throttled, "too many requests"),
    "ThrottlingException": (Throttled, "too many requests"),
    "RequestTimeout": (TimedOut, "the store gave up waiting for the request"),
    "BadDigest": (StorageBusy, DAMAGED),
    "IncompleteBody": (StorageBusy, DAMAGED),
    "XAmzContentSHA256Mismatch": (StorageBusy, DAMAGED),
    "XAmzContentChecksumMismatch": (StorageBusy, DAMAGED),
    "PreconditionFailed": (ObjectChanged, "the object changed after it was listed"),
    "ConditionalRequestConflict": (StorageBusy, "another writer is writing the object"),
    "OperationAborted": (StorageBusy, "another writer is writing the object"),
    "NotImplemented": (
        StorageError,
        "the store does not know this request; for a conditional write set"
        " storage.conditional_writes=false",
    ),
    "MissingContentLength": (StorageError, "refused; set storage.checksums=when_required"),
    "InvalidStorageClass": (StorageError, "the object is archived; restore it first"),
    "InvalidObjectState": (StorageError, "the object is archived; restore it first"),
    "QuotaExceeded": (DiskFull, "the store's quota is used up"),
    "InsufficientCapacity": (DiskFull, "the store is full"),
    "EntityTooLarge": (StorageError, "too large for this store"),
}
BY_STATUS = {
    301: "PermanentRedirect",
    307: "PermanentRedirect",
    403: "AccessDenied",
    404: "NoSuchKey",
    408: "RequestTimeout",
    411: "MissingContentLength",
    412: "PreconditionFailed",
    429: "SlowDown",
    503: "SlowDown",
    507: "InsufficientCapacity",
}
LONGEST_WAIT_S = 20.0
# The connection broke or was never made; a body that ends early is the same thing.
BROKEN = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, HTTPError)
BROKEN += (ConnectionError,)


@contextlib.contextmanager
def explained(uri: str, settings: StorageSettings) -> Iterator[None]:
    """Raise botocore's errors as StorageErrors, without its frames."""
    where = settings.endpoint_url or "AWS"
    try:
        yield
    except boto.ClientError as error:
        raise explain(uri, error.response) from None
    except (boto.ConnectTimeoutError, boto.ReadTimeoutError):
        reason = f"no answer from {where} in {settings.timeout_s:g} s"
        raise TimedOut(f"{uri}: {reason}") from None
    except boto.SSLError:
        reason = f"the certificate of {where} is not trusted; set storage.ca_bundle"
        raise StorageError(f"{uri}: {reason}") from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError):
        raise AccessDenied(f"{uri}: no credentials; {KEYS}, or storage.anonymous=true") from None
    except (boto.TokenRetrievalError, boto.UnauthorizedSSOTokenError, boto.SSOTokenLoadError):
        raise TokenExpired(f"{uri}: {EXPIRED}") from None
    except boto.CredentialRetrievalError as error:
        raise AccessDenied(f"{uri}: {type(error).__name__}; {KEYS}") from None
    except (boto.ParamValidationError, boto.UnsupportedS3ArnError):
        raise RequestError(f"{uri}: not a valid bucket and key; use s3://bucket/key") from None
    except BROKEN as error:
        reason = f"{where} cannot be reached ({type(error).__name__})"
        raise Unreachable(f"{uri}: {reason}; check storage.endpoint_url and the network") from None
    except boto.FlexibleChecksumError:
        raise StorageBusy(f"{uri}: the bytes that arrived do not match their checksum") from None
    except boto.BotoCoreError as error:
        raise StorageError(f"{uri}: {type(error).__name__}") from None


def explain(uri: str, answer: Mapping[str, Any]) -> StorageError:
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(answer.get("Error", {}).get("Code", ""))
    if code not in BY_CODE:
        code = BY_STATUS.get(status, code)
    if code in BY_CODE:
        kind, reason = BY_CODE[code]
        if kind is WrongRegion and (region := _find_region(answer)):
            reason = f"{REGION}={region}"
        return kind(f"{uri}: {reason} ({code})")
    is_busy = status >= 500 and status != 501
    if code == str(status):  # no code of S3; botocore makes 500 of a broken 200
        answered = "200 or 500" if status == 500 else str(status)
        kind = StorageBusy if is_busy else Unexplained
        return kind(
            f"{uri}: answered {answered}, and what came is no S3 answer, or only the beginning of "
            "one; check storage.endpoint_url"
        )
    kind = StorageBusy if is_busy else StorageError
    return kind(f"{uri}: the store answered {status} {code}")


def _find_region(answer: Mapping[str, Any]) -> str | None:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return answer.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")


def get_field(uri: str, answer: Mapping[str, Any], name: str) -> Any:
    """Return a field of an answer that every store gives."""
    if (value := answer.get(name)) is None:
        raise StorageError(f"{uri}: the store's answer lacks {name}; is it an S3 store?")
    return value


def retry(settings: StorageSettings, uri: str, action: Callable[[], Result]) -> Result:
    """Call `action` again until it returns or has failed `storage.attempts` times."""
    failures = 0
    while True:
        try:
            with explained(uri, settings):
                return action()
        except StorageBusy:
            failures += 1
            if failures >= settings.attempts:
                raise
            wait(settings, failures)


def wait(settings: StorageSettings, failures: int) -> None:
    """Sleep before another attempt, longer after each failure."""
    longest = min(LONGEST_WAIT_S, settings.backoff_s * 2 ** (failures - 1))
    # Jittered: a thousand workers that were throttled together must not come back together.
    time.sleep(longest * random.uniform(0.5, 1.0))
