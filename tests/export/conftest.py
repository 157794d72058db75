"""Finished outputs with known stems: one for all tests that only read it, one of a test's own."""

from pathlib import Path

import pytest

from separator.storage import Storage
from tests.helpers.export_library import write_output


@pytest.fixture(scope="session")
def output(tmp_path_factory) -> Path:
    """40 assets. Not to be changed."""
    folder = tmp_path_factory.mktemp("export") / "out"
    write_output(Storage(), str(folder))
    return folder


@pytest.fixture
def own_output(tmp_path) -> Path:
    """10 assets with 18 stems, for a test that changes them."""
    write_output(Storage(), str(tmp_path / "out"), num_assets=10)
    return tmp_path / "out"
