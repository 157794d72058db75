"""Bring packages through the clients of their registries, and read single files of them."""

import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from separator.errors import RequestError
from separator.sounds.programs import start

DOWNLOAD_S = 1_800.0
IN_ZIP = "!"  # between the path of a zip and the path in it


def fetch(registry: str, package: str, folder: Path) -> Path:
    """Return the archive of a package; it is downloaded to `folder` unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    if registry == "debian":
        pattern, program, arguments = f"{package}_*.deb", "apt-get", ["--quiet", "download"]
    elif registry == "npm":
        name = package.removeprefix("@").replace("/", "-")
        pattern, program, arguments = f"{name}-[0-9]*.tgz", "npm", ["pack", "--silent"]
    else:
        raise RequestError(f"{package}: no client for the registry {registry!r}; debian and npm")
    if not list(folder.glob(pattern)):
        start(program, [*arguments, package], folder=folder.resolve(), timeout_s=DOWNLOAD_S)
    archives = sorted(folder.glob(pattern))
    if not archives:
        raise RequestError(f"{package}: {program} left no {pattern} in {folder}")
    return archives[-1]


@contextmanager
def unpack(archive: Path, paths: Sequence[str]) -> Iterator[Path]:
    """Unpack an archive to a folder that is deleted at the end; of a .tgz, only `paths`."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as name:
        if archive.suffix == ".deb":
            start("dpkg-deb", ["-x", str(archive), name], timeout_s=DOWNLOAD_S)
        else:
            with tarfile.open(archive) as tar:
                held = set(tar.getnames())
                members = [tar.getmember(path) for path in paths if path in held]
                tar.extractall(name, members, filter="data")
        yield Path(name)


def read_file(root: Path, path: str) -> bytes:
    """Read a file of an unpacked package. A path that leaves the package is refused."""
    outer, _, inner = path.partition(IN_ZIP)
    found = (root / outer).resolve()
    if not found.is_relative_to(root.resolve()) or not found.is_file():
        raise RequestError(f"{outer}: not in the package")
    if not inner:
        return found.read_bytes()
    with zipfile.ZipFile(found) as archive:
        if inner not in archive.namelist():
            raise RequestError(f"{path}: not in the package")
        return archive.read(inner)
