"""Install the package of tests/data/bandpass, whose separator is a band-pass."""

import os
import shutil
import zipfile
from pathlib import Path

from hatchling.build import build_wheel

SOURCE = Path(__file__).parents[1] / "data" / "bandpass"


def install_bandpass(folder: Path) -> Path:
    """Build the package's wheel and unpack it into a folder that may then be put on sys.path."""
    source, built, site = (folder / name for name in ("source", "built", "site"))
    shutil.copytree(SOURCE, source)
    built.mkdir()
    before = Path.cwd()
    try:
        os.chdir(source)  # the build backend works on the current folder
        wheel = build_wheel(str(built))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(built / wheel) as file:
        file.extractall(site)
    return site
