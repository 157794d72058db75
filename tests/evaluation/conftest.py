"""Share a list of sounds, one start of Ray, and a single torch thread."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

from tests.helpers.training import write_sounds_list


@pytest.fixture(scope="package")
def sounds_list(tmp_path_factory) -> Path:
    return write_sounds_list(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep torch from spinning on several cores: networks this small take fivefold CPU time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def shared_ray() -> Iterator[None]:
    """Start Ray once for all tests of this package; commands of this process join it."""
    ray.init(
        "local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()
