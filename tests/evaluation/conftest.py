"""Share a list of sounds, one start of Ray, and a single torch thread."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.shared import one_ray, one_torch_thread
from tests.helpers.training import write_sounds_list


@pytest.fixture(scope="package")
def sounds_list(tmp_path_factory) -> Path:
    return write_sounds_list(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="package")
def shared_ray() -> Iterator[None]:
    with one_ray():
        yield
