"""Download a file of a Hugging Face repository into a cache folder, and check a file's sha256.

huggingface_hub resumes after a dropped connection, locks the cache, and obeys HF_HUB_OFFLINE and
HF_ENDPOINT. It compares sizes, not hashes: the sha256 is checked here.
"""

import hashlib
import json
import logging
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from separator.errors import CheckpointMissing, ChecksumMismatch

log = logging.getLogger(__name__)


def download(
    repository: str,
    file: str,
    kind: str,
    cache: Path,
    *,
    offline: bool,
    way_out: str,
    check_first: Callable[[], object],
) -> Path:
    """Return the path of `file` in the hub cache `cache`, downloading it if it is not there.

    `kind` is the repository's type, `model` or `space`; `way_out` ends the error message.
    `check_first` is called before a download, and raises if the file would be of no use.
    """
    from huggingface_hub import hf_hub_download  # imported here: the import takes 0.3 s
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import (
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] # of whichever httpx it uses
        LocalEntryNotFoundError,
        XetDownloadError,
    )

    get = partial(hf_hub_download, repository, file, repo_type=kind, cache_dir=cache)
    # Try the cache first, so that the hub is not asked at every start.
    with suppress(LocalEntryNotFoundError):
        return Path(get(local_files_only=True))
    check_first()
    if offline or is_offline_mode():
        reason = "downloads are switched off (SEPARATOR_OFFLINE or HF_HUB_OFFLINE)"
        raise CheckpointMissing(f"{file} is not in the cache and {reason}: {way_out}")
    try:
        return Path(get())
    except (OSError, HTTPError, XetDownloadError) as error:
        raise CheckpointMissing(f"{file}: {_explain(error)}: {way_out}") from None


def remove_download(path: Path) -> None:
    """Remove a file from the hub cache: its name there, and the blob that the name links to."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def check_sha256(path: Path, sha256: str, sidecar: Path) -> None:
    """Compare a file's hash, unless `sidecar` says that this very file was hashed before."""
    stat = path.stat()
    seen = {"sha256": sha256, "num_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    with suppress(OSError, ValueError, RecursionError):
        if json.loads(sidecar.read_text()) == seen:
            return
    found = hash_file(path)
    if found != sha256:
        raise ChecksumMismatch(f"{path}: has sha256 {found}, published was {sha256}")
    # In a read-only cache the file is hashed every time.
    with suppress(OSError):
        temporary = sidecar.with_name(f".{uuid.uuid4().hex}.tmp")
        temporary.write_text(json.dumps(seen))
        temporary.replace(sidecar)


def keep_sha256(path: Path, sidecar: Path) -> None:
    """Log and keep the hash of a file whose hash was not published; later it must be the same."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        kept = json.loads(sidecar.read_text())["sha256"]
        try:
            check_sha256(path, kept, sidecar)
        except ChecksumMismatch:
            raise ChecksumMismatch(
                f"{path}: is not the file of its first use, which had sha256 {kept}; "
                f"if that is meant, remove {sidecar}"
            ) from None
        return
    found = hash_file(path)
    log.info("%s: has sha256 %s, kept in %s", path, found, sidecar)
    check_sha256(path, found, sidecar)


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _explain(error: BaseException) -> str:
    """Write one line about a failed download, without the query of a signed address."""
    cause = error.__cause__ or error
    text = (str(cause).strip() or "no details").splitlines()[0]
    return f"{type(cause).__name__}: " + re.sub(r"[?]\S*", "", text)
