"""Resolve a checkpoint's name, path or `s3://` URI to a local file, and verify published files.

Files are not opened here, and storage is not imported: a caller that wants `s3://` passes a
callable.
"""

import difflib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from separator.errors import CheckpointMissing, ChecksumMismatch, RequestError
from separator.model import entry_points
from separator.model.download import check_sha256, download, keep_sha256, remove_download
from separator.storage.atomic import replacing
from separator.storage.uri import hide_secret

FetchUri = Callable[[str, Path], object]
CheckFirst = Callable[[], object]


@dataclass(frozen=True)
class PublishedModel:
    """A checkpoint on the Hugging Face hub."""

    name: str  # as users give it: "audiosep-hive"
    repository: str  # "owner/name"
    kind: str  # of repository: "model" or "space"
    repository_file: str  # its path in the repository
    sha256: str
    license: str
    encoder: str  # the kind of encoder that makes its conditions

    @property
    def file(self) -> str:
        """The name of a copy that somebody puts into `home()` by hand."""
        return self.repository_file.rpartition("/")[2]

    @property
    def uri(self) -> str:
        place = f"{'spaces/' if self.kind == 'space' else ''}{self.repository}"
        return f"https://huggingface.co/{place}/resolve/main/{self.repository_file}"


PUBLISHED = {
    entry.name: entry
    for entry in (
        PublishedModel(
            name="audiosep",
            repository="Audio-AGI/AudioSep",
            kind="space",
            repository_file="checkpoint/audiosep_base_4M_steps.ckpt",
            sha256="f8cda01bfd0ebd141eef45d41db7a3ada23a56568465840d3cff04b8010ce82c",
            license="mit",
            encoder="clap",
        ),
        PublishedModel(
            name="audiosep-hive",
            repository="ShandaAI/AudioSep-hive",
            kind="model",
            repository_file="audiosep_hive.ckpt",
            sha256="a13fff5fa4ece1a8bc13e42e1c7b8d90e21603075302ca89e4339c9471973300",
            license="apache-2.0",
            encoder="clap",
        ),
    )
}


@dataclass(frozen=True)
class ByHand:
    """A checkpoint that has to be fetched by hand: from a shared folder, without a known hash."""

    name: str
    file: str  # its name there, and in `home()`
    found_at: str
    license: str  # of the code that made it; the folder names none


STSED = "stsed"  # the detector of the official separator
ZERO_SHOT = "the Google Drive folder linked in github.com/RetroCirce"
BY_HAND = {
    entry.name: entry
    for entry in (
        ByHand(
            name=STSED,
            file="htsat_audioset_2048d.ckpt",
            found_at=f"{ZERO_SHOT}/Zero_Shot_Audio_Source_Separation",
            license="mit",
        ),
        ByHand(
            name="zeroshot-asp",
            file="zeroshot_asp_full.ckpt",
            found_at=f"{ZERO_SHOT}/Zero_Shot_Audio_Source_Separation",
            license="mit",
        ),
        ByHand(
            name="htsat",
            file="HTSAT_AudioSet_Saved_1.ckpt",
            found_at=f"{ZERO_SHOT}/HTS-Audio-Transformer",
            license="mit",
        ),
    )
}
# The text encoder of both published checkpoints, needed if a checkpoint holds no copy of it.
CLAP_FILE = "music_speech_audioset_epoch_15_esc_89.98.pt"
CLAP_URI = f"https://huggingface.co/lukewys/laion_clap/resolve/main/{CLAP_FILE}"
# Part of the package: needs neither a download nor a checksum.
MINI, MINI_ZEROSHOT, MINI_DETECTOR = "mini", "mini-zeroshot", "mini-detector"
WEIGHTS = Path(__file__).parents[1] / "weights"
BUNDLED = WEIGHTS / "mini.safetensors"
BUNDLED_FILES = {
    MINI: BUNDLED,
    MINI_ZEROSHOT: WEIGHTS / "mini-zeroshot.safetensors",
    MINI_DETECTOR: WEIGHTS / "mini-detector.safetensors",
}
DETECTORS = (MINI_DETECTOR, STSED, "htsat")  # all other names are separators
CHECKPOINT_SUFFIXES = (".ckpt", ".safetensors", ".pt", ".pth", ".bin")


def home() -> Path:
    """Return the folder of downloads: SEPARATOR_HOME, else `separator` in the user's cache."""
    chosen = os.environ.get("SEPARATOR_HOME")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "separator"


def resolve(
    x: str | Path, fetch_uri: FetchUri | None = None, check_first: CheckFirst = lambda: None
) -> Path:
    """Return the local file of a path, an `s3://` URI or a published name; fetch it if needed.

    `check_first` is called before a published file is downloaded, and raises if that is no use.
    """
    if not isinstance(x, str | Path) or not str(x) or "\0" in str(x):
        raise RequestError(f"{x!r}: no name, path or s3:// URI of a checkpoint; try {MINI!r}")
    if isinstance(x, str):
        if x in BUNDLED_FILES:
            return _require(BUNDLED_FILES[x], f"this package comes without the model {x}")
        if x in PUBLISHED:
            return obtain(PUBLISHED[x], check_first)
        if x in BY_HAND:
            return find_by_hand(BY_HAND[x])
        if x.startswith("s3://"):
            return _resolve_uri(x, fetch_uri)
        if "://" in x:
            shown = (hide_secret(x) or x).split("?")[0]
            raise RequestError(
                f"{shown!r}: only s3:// URIs can be read; download it and give its path"
            )
    try:
        path = Path(x).expanduser()
        if isinstance(x, Path) or path.exists() or _looks_like_path(x):
            return _require(path, "no such file")
    # OSError: a name too long, or a folder without permission. RuntimeError: `~` of no user.
    except (OSError, RuntimeError) as error:
        raise CheckpointMissing(f"{str(x)[:200]!r}: {error}"[:400]) from None
    names = [*BUNDLED_FILES, *PUBLISHED, *BY_HAND, *entry_points.list_outside()]
    near = difflib.get_close_matches(x.lower(), names)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    separators = ", ".join(name for name in names if name not in DETECTORS)
    raise RequestError(
        f"{x!r}: no such checkpoint; {hint}known are {separators}; as detectors"
        f" {', '.join(DETECTORS)}; or give a path"
    )


def find_package(name: str) -> entry_points.Package | None:
    """Find the package that provides a model of this name, unless the name is one of ours."""
    return entry_points.find_package(name) if is_path(name) else None


def is_path(x: str) -> bool:
    """Tell whether a text is neither one of our names nor a URI: a path, or a package's model."""
    return x not in (*BUNDLED_FILES, *PUBLISHED, *BY_HAND) and "://" not in x


def obtain(published: PublishedModel, check_first: CheckFirst = lambda: None) -> Path:
    """Return the verified file of a published checkpoint.

    A copy put into `home()` by hand comes first, then the hub cache in `home()/hub`, then a
    download into that cache.
    """
    path = by_hand = home() / published.file
    if not by_hand.exists():
        path = download(
            published.repository,
            published.repository_file,
            published.kind,
            home() / "hub",
            offline=_is_set("SEPARATOR_OFFLINE"),
            way_out=f"put {published.uri} (sha256 {published.sha256}) at {by_hand}",
            check_first=check_first,
        )
    try:
        check_sha256(path, published.sha256, home() / f"{published.file}.sha256")
    except ChecksumMismatch as error:
        if path == by_hand:
            raise ChecksumMismatch(f"{error}; remove it to have it downloaded") from None
        remove_download(path)
        raise ChecksumMismatch(f"{error}; removed, the next start downloads it again") from None
    return path


def find_by_hand(entry: ByHand) -> Path:
    """Return a file that the user put into `home()`; raise if it changed since its first use.

    No hash of it was published, so the first use logs its hash and keeps it.
    """
    path = home() / entry.file
    if not path.is_file():
        raise CheckpointMissing(
            f"{entry.name} cannot be downloaded: put {entry.file} (from {entry.found_at}) at {path}"
        )
    keep_sha256(path, home() / f"{entry.file}.sha256")
    return path


def _resolve_uri(uri: str, fetch_uri: FetchUri | None) -> Path:
    name = uri.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise RequestError(f"{uri!r}: names a folder, not a checkpoint's file")
    path = home() / "uri" / hashlib.sha256(uri.encode()).hexdigest() / name
    if path.exists():
        return path
    # HF_HUB_OFFLINE is about the hub, not about the user's own storage.
    if _is_set("SEPARATOR_OFFLINE"):
        raise CheckpointMissing(
            f"{uri} is not in the cache and SEPARATOR_OFFLINE is set: put it at {path}"
        )
    if fetch_uri is None:
        raise RequestError(f"{uri!r}: no storage was given to read s3:// with; give a local path")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        fetch_uri(uri, temporary)
    return path


def _require(path: Path, otherwise: str) -> Path:
    if path.is_file():
        return path
    raise CheckpointMissing(f"{path}: {'a folder' if path.is_dir() else otherwise}")


def _looks_like_path(x: str) -> bool:
    return os.sep in x or x.startswith((".", "~")) or x.lower().endswith(CHECKPOINT_SUFFIXES)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() not in ("", "0", "false", "no")
