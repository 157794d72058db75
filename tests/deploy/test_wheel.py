"""The wheel: what the code reads is in it, and found there without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("separator", "jobs")
# Imports what derives a path from the place of its module; prints each such path, and whether it
# is there.
LOOK = """
import importlib
import sys
from importlib.resources import files
from pathlib import Path

root = Path(sys.argv[1])
print("site", (files("separator.report") / "site" / "index.html").is_file())
for path in sorted(each for name in ("separator", "jobs") for each in (root / name).rglob("*.py")):
    if "Path(__file__)" in path.read_text():
        module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        assert Path(module.__file__) == path
        for name, value in vars(module).items():
            each = value.values() if isinstance(value, dict) else [value]
            for found in (one for one in each if isinstance(one, Path)):
                if found.is_relative_to(root):
                    print(name, found.exists())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as opened:
        held = {name: opened.read(name) for name in opened.namelist() if ".dist-info/" not in name}
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.*")]
    files = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held.keys() == files.keys()
    assert [name for name, content in files.items() if held[name] != content] == []


def test_code_of_a_wheel_finds_its_files_without_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path)
    code = f"import sys; sys.path.insert(0, sys.argv[1]){LOOK}"
    command = [sys.executable, "-P", "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    found = dict(line.split() for line in done.stdout.splitlines())
    assert {"site", "CONFIG", "LABELS_FILE", "LIST_PATH", "PATH", "WEIGHTS"} <= found.keys()
    assert set(found.values()) == {"True"}, found
