"""Share one start of Ray between tests, and keep torch on one thread."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import torch


@contextmanager
def one_ray() -> Iterator[None]:
    """Start Ray once; jobs and commands of this process join it."""
    ray.init(
        "local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch from spinning on several cores: networks this small take fivefold CPU time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
