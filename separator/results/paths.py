"""Name every file of an output. Pure: names are made here and nowhere else.

    stems/<asset path>/track-<i>/<query>.flac     a stem
    stems/<asset path>/track-<i>/residual/...     the track without that stem, or without all
    stems/<asset path>/track-<i>/rendition/...    a mix
    stems/<asset path>/remux/<rendition>.mp4      the asset with that sound
    stems/<asset path>/record.json                the commit file: all of this asset is done
    stems/<asset path>/.parts/...                 parts of stems of several spans, until assembled
    manifest/<run id>-<n>.parquet                 the records of all assets
    runs/<run id>.json                            one run: config, versions, totals, times
    lock.json                                     the runs at work; {} when there are none
    withdrawn/<hash>.json                         an asset whose stems are being made in another way
    presence/                                     the output of `separator detect`, without stems

A path keeps the names of the library as far as a name can be kept: parts that could lead out of the
output, control characters and `%` are percent-encoded, a part too long for a file system and a path
too long for S3 end in a hash. Assets of two libraries may still have one path: results/folders.py
tells them apart.
"""

import hashlib
import re
from collections.abc import Sequence

from separator.errors import RequestError
from separator.rows import REMUX, STEM
from separator.storage.uri import join_uri, parse_uri

# File systems allow 255 bytes; the names of temporary files add some.
LONGEST_PART_BYTES = 200
# S3 allows 1,024 bytes for a key, a local path may have 4,096; output and query add their parts.
LONGEST_PATH_BYTES = 600
UNSAFE = re.compile('[%\x00-\x1f\x7f\\\\:*?"<>|]')
FILE = "file://"
STEMS, PARTS, RECORD = "stems", ".parts", "record.json"


def make_asset_path(asset_uri: str, root_uri: str | None) -> str:
    """Name an asset's folder below `stems/`: its path within `root_uri`, else its whole URI."""
    try:
        whole = _name_whole(asset_uri)
    except RequestError:  # a list may hold such a URI, and its record needs a folder too
        return _encode_path(asset_uri)
    if root_uri is None:
        whole = whole.lstrip("/")
    else:
        folder = _name_whole(root_uri).rstrip("/") + "/"
        if whole.startswith(folder) and len(whole) > len(folder):
            whole = whole[len(folder) :]
        else:  # `root_uri` is the asset itself
            whole = whole.rpartition("/")[2]
    return _encode_path(whole)


def _encode_path(path: str) -> str:
    safe = "/".join(encode_part(part) for part in path.split("/")).encode()
    if len(safe) <= LONGEST_PATH_BYTES:
        return safe.decode()
    short = safe[: LONGEST_PATH_BYTES - 17].decode(errors="ignore")
    return f"{short}{_mark(path)}"


def find_file_name(asset_uri: str) -> str:
    """Find the name of an asset's own file, as the library has it: decoded and at full length."""
    try:
        whole = _name_whole(asset_uri)
    except RequestError:
        whole = asset_uri
    return whole.rstrip("/").rpartition("/")[2]


def find_common_folder(uris: Sequence[str]) -> str | None:
    """Find the folder that contains all assets; None if they have none in common.

    A file whose name is no clean text has a `file://` URI, even if its neighbours have paths.
    """
    is_mixed = len({uri.startswith(FILE) for uri in uris}) > 1
    folders = [(decode_path(uri) if is_mixed else uri).split("/")[:-1] for uri in uris]
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    root = "/".join(shared)
    return root if root.strip("/") and not root.endswith(":/") else None


def decode_path(uri: str) -> str:
    """Return the path that a `file://` URI names; other URIs, and what names none, as they are."""
    try:
        return parse_uri(uri).key if uri.startswith(FILE) else uri
    except RequestError:
        return uri


def disambiguate(path: str, asset_uri: str) -> str:
    """Make the path of an asset whose own path holds the stems of another: `x%<hash>.wav`."""
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".") if "." in name[1:] else (name, "", "")
    return f"{folder}{slash}{stem}{_mark(asset_uri)}{dot}{suffix}"


def is_told_apart(path: str, asset_uri: str) -> bool:
    return _mark(asset_uri) in path


def _mark(asset_uri: str) -> str:
    digest = hashlib.sha256(asset_uri.encode("utf-8", "surrogatepass")).hexdigest()
    return f"%{digest[:16]}"


def _name_whole(uri: str) -> str:
    place = parse_uri(uri)
    return f"{place.bucket}/{place.key}" if place.bucket else place.key


def encode_part(part: str) -> str:
    """Encode one part of a path so that it names one file or folder in the folder above it."""
    raw = part.encode("utf-8", "surrogateescape")
    safe = UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", part)
    safe = re.sub("[\ud800-\udfff]", lambda found: f"%{ord(found[0]) & 0xFF:02X}", safe)
    if not safe:
        return "%"  # an empty part, as in s3://bucket/a//b
    if safe in (".", ".."):
        return safe.replace(".", "%2E")
    # Escape the names that this package itself uses below an asset.
    if safe in (RECORD, PARTS, REMUX) or re.fullmatch(r"track-\d+", safe):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    if len(safe.encode()) > LONGEST_PART_BYTES:
        short = safe.encode()[: LONGEST_PART_BYTES - 17].decode(errors="ignore")
        return f"{short}%{hashlib.sha256(raw).hexdigest()[:16]}"
    return safe


def name_stems(output_uri: str) -> str:
    """Name the folder of an output that contains all stems."""
    return join_uri(parse_uri(output_uri).uri.rstrip("/"), STEMS)


def name_presence(output_uri: str) -> str:
    """Name the output of `separator detect` inside that of `separator run`."""
    return join_uri(parse_uri(output_uri).uri.rstrip("/"), "presence")


class Layout:
    """The names below one `output.uri`."""

    def __init__(self, root_uri: str, extension: str) -> None:
        self.root_uri = parse_uri(root_uri).uri.rstrip("/")
        self.extension = extension

    def folder(self, asset_path: str) -> str:
        return join_uri(self.root_uri, STEMS, asset_path)

    def record(self, asset_path: str) -> str:
        return join_uri(self.folder(asset_path), RECORD)

    def stem(self, asset_path: str, track_index: int, kind: str, query_name: str) -> str:
        """Name a stem, residual or rendition. The extension keeps stems apart from the folders."""
        folder = join_uri(self.folder(asset_path), f"track-{track_index}")
        name = f"{query_name}.{self.extension}"
        return join_uri(folder, name) if kind == STEM else join_uri(folder, kind, name)

    def remux(self, asset_path: str, rendition: str, suffix: str) -> str:
        return join_uri(self.folder(asset_path), REMUX, f"{rendition}{suffix}")

    def parts(self, asset_path: str) -> str:
        return join_uri(self.folder(asset_path), PARTS)

    def part(
        self, asset_path: str, track_index: int, kind: str, query_name: str, number: int
    ) -> str:
        name = f"{number:06}.f32"
        return join_uri(self.parts(asset_path), f"track-{track_index}", kind, query_name, name)

    def manifest(self) -> str:
        return join_uri(self.root_uri, "manifest")

    def manifest_file(self, run_id: str, number: int) -> str:
        return join_uri(self.manifest(), f"{run_id}-{number:05}.parquet")

    def lock(self) -> str:
        return join_uri(self.root_uri, "lock.json")

    def marks(self) -> str:
        return join_uri(self.root_uri, "withdrawn")

    def mark(self, name: str) -> str:
        return join_uri(self.marks(), f"{name}.json")

    def runs(self) -> str:
        return join_uri(self.root_uri, "runs")

    def run(self, run_id: str) -> str:
        return join_uri(self.runs(), f"{run_id}.json")


class ExportLayout:
    """The names of a data set: `data/...` as its format wants it, and the files about it."""

    def __init__(self, root_uri: str) -> None:
        self.root_uri = parse_uri(root_uri).uri.rstrip("/")

    def file(self, name: str) -> str:
        return join_uri(self.root_uri, name)

    def data(self, name: str) -> str:
        return join_uri(self.root_uri, "data", name)

    def indexes(self) -> str:
        return join_uri(self.root_uri, "index")

    def index(self, name: str) -> str:
        return join_uri(self.indexes(), f"{name}.json")

    def about(self) -> str:
        return join_uri(self.root_uri, "export.json")

    def card(self) -> str:
        return join_uri(self.root_uri, "README.md")

    def croissant(self) -> str:
        return join_uri(self.root_uri, "croissant.json")
