"""Make batches of examples in Ray tasks, a few steps ahead of the network.

Ray Data is not used: its scheduler would run in the training process and keep the interpreter from
the steps, each of which then took three times as long (measured on 2 cores). This module does not
import torch: without it the processes of the tasks start in a third of the time.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import ray

from separator.train.recipe import TrainSettings


class MakesBatches(Protocol):
    """Examples by number, the same on every machine."""

    def make_batch(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """Make the examples of these numbers."""
        ...


def iterate_batches(
    examples: MakesBatches, settings: TrainSettings, first_step: int, rank: int, world: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield one worker's batches, made by tasks a few steps ahead.

    All workers together see examples 0, 1, 2, ... in order, also after a restart.
    """
    size, num_steps = settings.optim.batch, settings.optim.num_steps
    shared = [ray.put(examples)]  # in a list, so that Ray hands on the reference, not its object
    ahead: deque[ray.ObjectRef] = deque()
    for step in range(first_step, num_steps + 2 * settings.readers):
        if step < num_steps:
            first = (step * world + rank) * size
            ahead.append(make_batch.remote(shared, world, range(first, first + size)))
        if step >= first_step + 2 * settings.readers:
            yield ray.get(ahead.popleft())


# Less than one CPU: the workers reserve a little, which must not keep a task from the last CPU.
@ray.remote(num_cpus=0.9, max_retries=2)
def make_batch(
    shared: list[ray.ObjectRef], num_workers: int, numbers: range
) -> dict[str, np.ndarray]:
    """Make the examples of these numbers in a Ray task."""
    return read_once(shared[0], num_workers).make_batch(numbers)


_read: dict[ray.ObjectRef, MakesBatches] = {}


def read_once(shared: ray.ObjectRef, num_workers: int) -> MakesBatches:
    """Read a worker's examples into this process, once for all its batches: a list of 50,000
    captions takes longer to read than a batch to make. A process may serve several workers."""
    if shared not in _read:
        while len(_read) >= num_workers:
            del _read[next(iter(_read))]
        _read[shared] = ray.get(shared)
    return _read[shared]
