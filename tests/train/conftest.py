"""Share a list of sounds in files, one start of Ray, and a single torch thread."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.shared import one_ray, one_torch_thread
from tests.helpers.training import write_encoder, write_sounds_list


@pytest.fixture(scope="session")
def sounds_list(tmp_path_factory) -> Path:
    return write_sounds_list(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="session")
def encoder_file(tmp_path_factory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "encoder.safetensors")


@pytest.fixture
def one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="package")
def shared_ray() -> Iterator[None]:
    with one_ray():
        yield
