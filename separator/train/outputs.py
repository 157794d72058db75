"""Check before the work starts that its result can be written."""

from pathlib import Path

from separator.errors import RequestError
from separator.storage import parse_uri
from separator.storage.atomic import make_folder, temporary_beside
from separator.storage.local import FULL, explain


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
