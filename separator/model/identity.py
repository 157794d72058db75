"""Remember the identity of a checkpoint file, so that a run with nothing to do need not read it.

Hashing the weights takes torch and seconds; the file's size and time of change tell whether it is
still the file that was hashed.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from separator.model import registry
from separator.storage.atomic import write_whole

MAX_ENTRIES = 100
RULE = 2  # version of the rule of hashing; entries of another version are computed again
DETECTOR_PREFIX = "htsat:"  # begins a detector's id
# The encoder id of official separators, which do not name their detector: only its size is checked.
ANY_DETECTOR = DETECTOR_PREFIX
INNER = "#detector"  # names the detector in a file, which may hold a separator too


def find_sha256(path: Path, part: str = "") -> str | None:
    """Return the hash of the weights in a file, or a part, if this very file was hashed before."""
    sha256 = _find_entry(path, part).get("sha256")
    return sha256 if isinstance(sha256, str) else None


def find_encoder_id(path: Path) -> str | None:
    """Return the id of the encoder that a file names, empty if it names none; None if unknown."""
    encoder_id = _find_entry(path).get("encoder")
    return encoder_id if isinstance(encoder_id, str) else None


def stamp_file(path: Path) -> list[int]:
    """Return a stamp that differs from that of any file that replaces this one. Stamp a file
    before reading it."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def remember_sha256(
    path: Path, sha256: str, stamp: list[int], encoder_id: str | None = None, part: str = ""
) -> None:
    """Keep the hash of a file, and the encoder it names, unless the file changed while it was read.
    If the cache cannot be written, the hash is computed again each time."""
    if stamp_file(path) != stamp:
        return
    entries = _read_entries()
    entries.pop(_name(path, part), None)
    about = {"sha256": sha256, "stamp": stamp, "rule": RULE, "encoder": encoder_id or ""}
    entries[_name(path, part)] = about
    newest = dict(list(entries.items())[-MAX_ENTRIES:])
    with suppress(OSError):
        _find_file().parent.mkdir(parents=True, exist_ok=True)
        write_whole(_find_file(), json.dumps(newest, indent=1).encode())


def _find_entry(path: Path, part: str = "") -> dict[str, Any]:
    """Return the entry of this very file; empty if there is none, or the file has changed."""
    entry = _read_entries().get(_name(path, part))
    if not isinstance(entry, dict) or entry.get("stamp") != stamp_file(path):
        return {}
    return entry if entry.get("rule") == RULE else {}


def _find_file() -> Path:
    return registry.home() / "identities.json"


def _read_entries() -> dict[str, Any]:
    with suppress(OSError, ValueError, RecursionError):
        entries = json.loads(_find_file().read_text())
        if isinstance(entries, dict):
            return entries
    return {}


def _name(path: Path, part: str) -> str:
    return f"{path.resolve()}{part}"
