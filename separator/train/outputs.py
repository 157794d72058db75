"""Check before the work starts that its result can be written."""

import json
from pathlib import Path

from separator.errors import CheckpointMissing, CheckpointTruncated, RequestError
from separator.storage import Storage, parse_uri
from separator.storage.atomic import make_folder, temporary_beside
from separator.storage.local import FULL, explain

SNAPSHOT = "checkpoint_manager_snapshot.json"  # Ray Train's list of a run's checkpoints
STATE = "state.pt"  # of a checkpoint


def is_on_s3(uri: str) -> bool:
    return bool(parse_uri(uri).bucket)


def check_file(path: Path) -> None:
    """Make the folder of a file, and refuse a path to which none can be written."""
    if path.is_dir():
        raise RequestError(f"{path}: is a folder")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Make a folder, and refuse one into which nothing can be written."""
    try:
        make_folder(folder)
        with temporary_beside(folder / "try"):
            pass
    except OSError as error:
        if error.errno in FULL:
            raise explain(error, str(folder)) from None
        raise RequestError(f"{folder}: cannot be written: {error.strerror}") from None


def check_checkpoints(storage: Storage, run_uri: str) -> None:
    """Refuse to continue a run if a checkpoint that it lists is gone: Ray Train, which keeps the
    list, ends on it in many lines."""
    uri = f"{run_uri}/{SNAPSHOT}"
    if not storage.exists(uri):
        return
    try:
        listed = json.loads(storage.read(uri)).get("checkpoint_results", [])
        names = [each["checkpoint_dir_name"] for each in listed]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise CheckpointTruncated(f"{uri}: is damaged; take another name") from None
    for name in names:
        if not storage.exists(f"{run_uri}/{name}/{STATE}"):
            raise CheckpointMissing(
                f"{run_uri}/{name}: is gone, or not whole, but {SNAPSHOT} lists it; put it back, "
                "or take another name"
            )
