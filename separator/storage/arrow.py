"""Open the same storage as a pyarrow filesystem, for libraries that need one (Ray Train)."""

import os
from typing import Any

from separator.storage.s3_settings import StorageSettings
from separator.storage.uri import parse_uri


def open_arrow(settings: StorageSettings, uri: str) -> tuple[Any, str]:
    """Return a pyarrow filesystem and the path of `uri` in it."""
    import pyarrow.fs  # imported here, because the import takes 0.1 s

    place = parse_uri(uri)
    if not place.bucket:
        return pyarrow.fs.LocalFileSystem(), place.key
    export_checksums(settings)
    options: dict[str, Any] = {"anonymous": settings.anonymous, "region": settings.region}
    if settings.endpoint_url:
        scheme, _, host = settings.endpoint_url.rstrip("/").partition("://")
        options |= {"endpoint_override": host, "scheme": scheme}
        options["force_virtual_addressing"] = settings.path_style is False
    if settings.ca_bundle:
        options["tls_ca_file_path"] = settings.ca_bundle
    if settings.profile:
        options |= _read_profile(settings)
    options |= {"connect_timeout": min(10.0, settings.timeout_s)}
    options |= {"request_timeout": settings.timeout_s}
    return pyarrow.fs.S3FileSystem(**options), f"{place.bucket}/{place.key}"


def export_checksums(settings: StorageSettings) -> None:
    """Pass storage.checksums to Arrow's SDK, which reads only the environment of its process."""
    os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", settings.checksums)
    os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", settings.checksums)


def _read_profile(settings: StorageSettings) -> dict[str, str | None]:
    """Resolve the profile with botocore: Arrow knows no profiles."""
    from separator.storage.s3_client import get_credentials

    found = get_credentials(settings)
    return {
        "access_key": found.access_key,
        "secret_key": found.secret_key,
        "session_token": found.token,
    }
