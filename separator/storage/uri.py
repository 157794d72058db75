"""Parse URIs of local files and S3 objects. Nothing is opened here; only the folders before a
`..` are looked at, which may be links.

A local path (`~/` is the user's own folder) and `file://` name files, `s3://bucket/key` objects.
The key of an S3 URI is taken as it stands: `%`, `?` and `#` are characters like any other. A
`file://` URI is percent-encoded; `?` and `#` need not be.
"""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from separator.errors import RequestError, StorageError

# Characters that cannot be shown or stored as text: see `name_file`.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
SIGNATURE_KEYS = {"awsaccesskeyid", "signature"}  # in links to objects, beside x-amz-*


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """One object of a listing. Another `etag` means other bytes."""

    uri: str
    num_bytes: int
    etag: str
    modified_at: datetime
    error: StorageError | None = None  # why storage could not look at the object


@dataclass(frozen=True)
class Place:
    """An object, or the folder of that name. `bucket` is empty for a local path."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.bucket else name_file(self.key)

    @property
    def shown(self) -> str:
        """Return the URI for a message."""
        return show_uri(self.uri)

    @property
    def path(self) -> Path:
        assert not self.bucket, self
        return Path(self.key)


def parse_uri(uri: str) -> Place:
    scheme, found, rest = uri.partition("://")
    if not uri or "\0" in uri:
        raise RequestError(f"{uri!r:.80}: not a URI or a path")
    shown = show_uri(uri)
    if hidden := hide_secret(uri):
        raise RequestError(
            f"{show_uri(hidden)}: holds a password or is a signed link; name the object as "
            "s3://bucket/key, and give credentials by the environment or storage.profile"
        )
    try:
        if not found:
            path = os.path.expanduser(uri) if uri.startswith("~/") else uri  # noqa: PTH111
            return Place("", _make_absolute(os.fsencode(path)))
        if scheme == "file":
            return Place("", _make_absolute(_read_file_uri(shown, rest)))
        rest.encode()
    except UnicodeEncodeError:
        raise RequestError(f"{shown}: is not valid text") from None
    if scheme != "s3":
        raise RequestError(f"{shown}: unknown scheme; use a local path, file:// or s3://")
    bucket, _, key = rest.partition("/")
    # The pattern also keeps `..` and the like from being a bucket.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", bucket):
        raise RequestError(f"{shown}: {bucket!r} is not a bucket name; use s3://bucket/key")
    return Place(bucket, key)


def show_uri(uri: str) -> str:
    """Return the URI for a message: on one line whatever it holds."""
    return uri if uri.isprintable() else ascii(uri)[1:-1]


def _read_file_uri(shown: str, rest: str) -> bytes:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost"):
        raise RequestError(f"{shown}: names a file on another machine; write file:///path")
    raw = unquote_to_bytes(os.fsencode(slash + path))
    if not raw or b"\0" in raw:
        raise RequestError(f"{shown}: names no file; write file:///path")
    return raw


def _make_absolute(raw: bytes) -> str:
    """Make a path absolute, so that it means the same in every process and each place has one."""
    text = os.fsdecode(raw)
    path = _go_up(str(Path(text).absolute()))
    path = f"/{path.lstrip('/')}"  # Path keeps two slashes at the beginning
    return f"{path.rstrip('/')}/" if text.endswith("/") else path


def _go_up(path: str) -> str:
    """Resolve each `..` of an absolute path; the parent of a link is that of the linked folder."""
    if "/.." not in path:
        return path
    place = Path("/")
    for part in Path(path).parts[1:]:
        if part == "..":
            place = (place.resolve() if place.is_symlink() else place).parent
        else:
            place /= part
    return str(place)


def hide_secret(uri: str) -> str:
    """Return the URI without the password or the signature that it holds; "" if it holds none."""
    scheme, found, rest = uri.partition("://")
    if not found:
        return ""
    name, mark, query = rest.partition("?")
    host, slash, path = name.partition("/")
    shown = f"{scheme}://***@{host.rpartition('@')[2]}{slash}{path}" if "@" in host else ""
    keys = {pair.partition("=")[0].lower() for pair in query.split("&")}
    is_signed = any(key.startswith("x-amz-") for key in keys) or bool(keys & SIGNATURE_KEYS)
    # Keys of objects may hold question marks. URIs of other schemes cannot be read anyway.
    if mark and (is_signed or scheme not in ("s3", "file")):
        return (shown or f"{scheme}://{name}") + "?***"
    return shown


def name_file(path: str) -> str:
    """Return the path, or a `file://` URI if it is not clean text, so that it survives a table."""
    if not UNPRINTABLE.search(path):
        return path
    return "file://" + quote_from_bytes(os.fsencode(path))


def is_within(uri: str, folder_uri: str) -> bool:
    place, folder = parse_uri(uri), parse_uri(folder_uri)
    # Compare keys: one local place may be given as a `file://` URI and the other as a path.
    inside = f"{folder.bucket}/{folder.key}".rstrip("/") + "/"
    return f"{place.bucket}/{place.key}/".startswith(inside)


def join_uri(folder_uri: str, *names: str) -> str:
    """Join names to a folder, for every scheme."""
    return "/".join([folder_uri.rstrip("/"), *names])
