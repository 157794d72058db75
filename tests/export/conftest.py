"""A finished output with known stems, small enough to be made for every test."""

from pathlib import Path

import pytest

from separator.storage import Storage
from tests.helpers.export_library import write_output


@pytest.fixture
def output(tmp_path) -> Path:
    write_output(Storage(), str(tmp_path / "out"))
    return tmp_path
