"""The two locks: requirements.lock to run, requirements-dev.lock with extras and tests on top."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN, DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


def read_pins(path: Path) -> list[tuple[str, str]]:
    """(package, version); a package has several where versions differ by platform."""
    return re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", path.read_text(), re.M)


def find_names(path: Path) -> set[str]:
    return {name for name, _ in read_pins(path)}


def test_dev_lock_holds_all_of_the_run_lock_in_the_same_versions():
    run, dev = set(read_pins(RUN)), set(read_pins(DEV))
    assert len(run) > 50 and run < dev


def test_run_lock_holds_no_package_of_the_extras():
    extras = {"laion-clap", "transformers", "torchvision", "duckdb", "matplotlib", "pytest"}
    assert extras <= find_names(DEV) and not extras & find_names(RUN)


@pytest.mark.parametrize("path", [RUN, DEV], ids=lambda path: path.name)
def test_locks_pin_with_hashes_and_name_no_address(path):
    text = path.read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links", text)
    pins = re.split(r"^(?=[\w.-]+(?:\[.*\])?==)", text, flags=re.M)[1:]
    assert len(pins) == len(read_pins(path)) and all("--hash=sha256:" in pin for pin in pins)
