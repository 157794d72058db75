"""Check the `storage:` part of a config. Credentials come from the AWS environment instead."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from separator.errors import RequestError

CHECKSUMS = ("when_supported", "when_required")
MIB = 1 << 20
RANGES = {
    "connections": (1, 10_000),
    "part_bytes": (5 * MIB, 5 << 30),  # S3's own limits
    "attempts": (1, 10_000),
    "backoff_s": (1e-6, 3600),
    "timeout_s": (1e-3, 86_400),
}


@dataclass(frozen=True)
class StorageSettings:
    endpoint_url: str | None = None  # address of a store that is not AWS
    region: str | None = None
    profile: str | None = None
    anonymous: bool = False  # public buckets, unsigned
    ca_bundle: str | None = None  # certificates of a private authority
    path_style: bool | None = None  # bucket in the path; by default with an endpoint_url only
    conditional_writes: bool = True  # false: for stores that ignore If-Match and If-None-Match
    checksums: str = "when_supported"  # when_required: for stores that answer 411 to the newer ones
    connections: int = 16  # per process
    part_bytes: int = 16 * MIB  # size of the parts of an upload, and of parallel reads
    attempts: int = 6  # in a row without progress
    backoff_s: float = 0.5  # before the second attempt, twice that before the third, ...
    timeout_s: float = 60.0  # without an answer

    def __post_init__(self) -> None:
        if self.endpoint_url is not None:
            parts = urlsplit(self.endpoint_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
                raise RequestError(
                    f"storage.endpoint_url={hide_password(self.endpoint_url)!r}: must look like "
                    "https://host:port"
                )
            if "@" in parts.netloc:
                raise RequestError(
                    f"storage.endpoint_url={hide_password(self.endpoint_url)!r}: holds a password; "
                    "give keys in the environment (AWS_ACCESS_KEY_ID) or a profile"
                )
        if self.checksums not in CHECKSUMS:
            raise RequestError(f"storage.checksums={self.checksums!r}: must be one of {CHECKSUMS}")
        if self.anonymous and self.profile:
            raise RequestError(
                f"storage.anonymous and storage.profile={self.profile!r}: choose one"
            )
        for name, (least, most) in RANGES.items():
            if not least <= (value := getattr(self, name)) <= most:  # NaN too
                raise RequestError(f"storage.{name}={value}: must be from {least:g} to {most:g}")


def hide_password(uri: str) -> str:
    """Strip user, password, query and fragment from a URI, for logs and errors."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.netloc else uri
