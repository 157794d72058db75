"""The published checkpoints: from a name, a path or an address to a local, verified file.

It knows where files lie and what they must hash to; it does not open them, and it does not know
storage: who wants `s3://` passes a callable.
"""

import difflib
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from separator.errors import CheckpointMissing, ChecksumMismatch, RequestError
from separator.model.fetch import fetch, hash_file, move_into_place

FetchUri = Callable[[str, Path], object]


@dataclass(frozen=True)
class Published:
    """One checkpoint that others have published; `encoder` is the kind its conditions come from."""

    name: str
    file: str
    uri: str
    sha256: str
    num_bytes: int | None
    license: str
    encoder: str


PUBLISHED = {
    entry.name: entry
    for entry in (
        Published(
            name="audiosep",
            file="audiosep_base_4M_steps.ckpt",
            uri="https://huggingface.co/spaces/Audio-AGI/AudioSep/resolve/main/checkpoint/"
            "audiosep_base_4M_steps.ckpt",
            sha256="f8cda01bfd0ebd141eef45d41db7a3ada23a56568465840d3cff04b8010ce82c",
            num_bytes=None,
            license="mit",
            encoder="clap",
        ),
        Published(
            name="audiosep-hive",
            file="audiosep_hive.ckpt",
            uri="https://huggingface.co/ShandaAI/AudioSep-hive/resolve/main/audiosep_hive.ckpt",
            sha256="a13fff5fa4ece1a8bc13e42e1c7b8d90e21603075302ca89e4339c9471973300",
            num_bytes=1_264_846_755,
            license="apache-2.0",
            encoder="clap",
        ),
    )
}
# The text encoder of both, for checkpoints that hold no copy of it.
CLAP_FILE = "music_speech_audioset_epoch_15_esc_89.98.pt"
CLAP_URI = f"https://huggingface.co/lukewys/laion_clap/resolve/main/{CLAP_FILE}"
# Lies in the package, so it needs neither a download nor a checksum.
MINI = "mini"
BUNDLED = Path(__file__).parents[1] / "weights" / "mini.safetensors"
CHECKPOINT_SUFFIXES = (".ckpt", ".safetensors", ".pt", ".pth", ".bin")


def home() -> Path:
    """The folder of everything that was fetched: SEPARATOR_HOME, or the user's cache."""
    chosen = os.environ.get("SEPARATOR_HOME")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "separator"


def resolve(x: str | Path, fetch_uri: FetchUri | None = None) -> Path:
    """The local file of a path, an `s3://` address or a published name, fetched if need be."""
    if isinstance(x, str):
        if x == MINI:
            return _require(BUNDLED, "this release of the package comes without its mini model")
        if x in PUBLISHED:
            return obtain(PUBLISHED[x])
        if x.startswith("s3://"):
            return _resolve_uri(x, fetch_uri)
        if "://" in x:
            raise RequestError(
                f"{x.split('?')[0]!r}: only s3:// addresses; fetch it, give its path"
            )
    path = Path(x).expanduser()
    if isinstance(x, Path) or path.exists() or _looks_like_path(x):
        return _require(path, "no such file")
    names = [MINI, *PUBLISHED]
    near = difflib.get_close_matches(x.lower(), names)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise RequestError(
        f"{x!r}: no such checkpoint; {hint}known are {', '.join(names)}, or give a path"
    )


def obtain(published: Published) -> Path:
    """The verified file of a published checkpoint, from the cache or from its address."""
    path = home() / published.file
    if not path.exists():
        if _is_set("SEPARATOR_OFFLINE") or _is_set("HF_HUB_OFFLINE"):
            raise CheckpointMissing(
                f"{published.name!r} is not in the cache and fetching is switched off"
                " (SEPARATOR_OFFLINE or HF_HUB_OFFLINE): put"
                f" {published.uri} (sha256 {published.sha256}) at {path}"
            )
        fetch(published.uri, path, published.sha256, published.num_bytes)
    _verify_once(path, published.sha256)
    return path


def _resolve_uri(uri: str, fetch_uri: FetchUri | None) -> Path:
    name = uri.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise RequestError(f"{uri!r}: names a folder, not a checkpoint")
    path = home() / "uri" / hashlib.sha256(uri.encode()).hexdigest() / name
    if path.exists():
        return path
    # HF_HUB_OFFLINE does not bear on somebody's own storage.
    if _is_set("SEPARATOR_OFFLINE"):
        raise CheckpointMissing(
            f"{uri} is not in the cache and SEPARATOR_OFFLINE is set: put it at {path}"
        )
    if fetch_uri is None:
        raise RequestError(f"{uri!r}: nothing here reads s3://; give a local path")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        fetch_uri(uri, temporary)
        move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _verify_once(path: Path, sha256: str) -> None:
    """Hash a file unless its sidecar shows that this very file has been hashed before."""
    sidecar = path.with_name(path.name + ".sha256")
    stat = path.stat()
    seen = {"sha256": sha256, "num_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    with suppress(OSError, ValueError):
        if json.loads(sidecar.read_text()) == seen:
            return
    found = hash_file(path)
    if found != sha256:
        raise ChecksumMismatch(
            f"{path}: has sha256 {found}, published was {sha256}; remove it to have it fetched"
        )
    # In a read-only cache the file is hashed every time.
    with suppress(OSError):
        temporary = sidecar.with_name(f".{uuid.uuid4().hex}.tmp")
        temporary.write_text(json.dumps(seen))
        temporary.replace(sidecar)


def _require(path: Path, otherwise: str) -> Path:
    if path.is_file():
        return path
    raise CheckpointMissing(f"{path}: {'a folder' if path.is_dir() else otherwise}")


def _looks_like_path(x: str) -> bool:
    return os.sep in x or x.startswith((".", "~")) or x.lower().endswith(CHECKPOINT_SUFFIXES)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() not in ("", "0", "false", "no")
