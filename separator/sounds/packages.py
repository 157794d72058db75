"""Download packages with the clients of their registries, and read single files of them."""

import gzip
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from separator.errors import RequestError
from separator.sounds.programs import start

DOWNLOAD_S = 1_800.0
IN_ZIP = "!"  # between the path of a zip and the path in it
# Everything that tarfile and zipfile raise on damaged bytes, and on names outside the folder.
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error)
DAMAGED += (EOFError, LookupError, RuntimeError)


def fetch(registry: str, package: str, folder: Path) -> Path:
    """Return the archive of a package; download it to `folder` unless it exists."""
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


class UnpackedPackage:
    """An unpacked package. Each zip in it is opened only once: opening a large zip is slow."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._zips: dict[Path, zipfile.ZipFile] = {}

    def read(self, path: str) -> bytes:
        """Read a file; refuse one that is missing, damaged or outside the package."""
        outer, _, inner = path.partition(IN_ZIP)
        found = (self.root / outer).resolve()
        if not found.is_relative_to(self.root) or not found.is_file():
            raise RequestError(f"{outer}: not in the package")
        if not inner:
            return found.read_bytes()
        try:
            if found not in self._zips:
                self._zips[found] = zipfile.ZipFile(found)
            return self._zips[found].read(inner)
        except KeyError:
            raise RequestError(f"{path}: not in the package") from None
        except DAMAGED as error:
            raise RequestError(f"{path}: cannot be read: {error}") from None

    def close(self) -> None:
        for archive in self._zips.values():
            archive.close()


@contextmanager
def unpack(archive: Path, paths: Sequence[str]) -> Iterator[UnpackedPackage]:
    """Unpack an archive to a folder that is deleted at the end; of a .tgz, only `paths`."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as name:
        try:
            _extract(archive, paths, name)
        except (RequestError, *DAMAGED) as error:
            raise RequestError(
                f"{archive.name} cannot be unpacked: {error}; if it is damaged, delete {archive}, "
                "and the same command downloads it again"
            ) from None
        with closing(UnpackedPackage(Path(name))) as package:
            yield package


def _extract(archive: Path, paths: Sequence[str], folder: str) -> None:
    if archive.suffix == ".deb":
        start("dpkg-deb", ["-x", str(archive), folder], timeout_s=DOWNLOAD_S)
        return
    with tarfile.open(archive) as tar:
        held = set(tar.getnames())
        members = [tar.getmember(path) for path in paths if path in held]
        tar.extractall(folder, members, filter="data")
