"""Define the interface of a training task: batches, a loss with figures, the finished file."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from separator.storage import Storage
from separator.train.loop import Batch, State
from separator.train.plot import PlottedFigure
from separator.train.readers import MakesBatches, iterate_batches
from separator.train.recipe import TrainSettings
from separator.train.sound_lists import read_lists


class Task(ABC):
    """One kind of training; `figure` is shown beside the loss."""

    figure: PlottedFigure
    examples: MakesBatches
    labels: Sequence[str] = ()  # of a detector's outputs, in their order
    num_skipped = 0  # unreadable or silent files so far

    def __init__(self, settings: TrainSettings) -> None:
        """Read the lists of the settings."""
        self.settings, self.storage = settings, Storage(settings.storage)
        data = settings.data
        self.sources = read_lists(data.lists, self.storage, data.without, data.licences)

    def iterate(
        self, first_step: int, rank: int, world: int, device: torch.device
    ) -> Iterator[Batch]:
        """Yield the batch of each step from `first_step` on."""
        batches = iterate_batches(self.examples, self.settings, first_step, rank, world)
        for step, batch in enumerate(batches, start=first_step):
            self.num_skipped += int(batch["num_skipped"].sum())
            tensors = self.make_tensors(batch, step * world + rank)
            yield {key: tensor.to(device) for key, tensor in tensors.items()}

    def make_tensors(self, batch: dict[str, np.ndarray], number: int) -> Batch:
        """Make the tensors of a batch; `number` is unique among the batches of a training."""
        # Copied: arrays from Ray's object store are read-only.
        return {key: torch.tensor(a) for key, a in batch.items() if key != "num_skipped"}

    def wrap(self, net: nn.Module) -> nn.Module:
        """Return the module that a step calls: the network itself, or a module around it."""
        return net

    @abstractmethod
    def measure(self, state: State, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch, and figures to show."""

    @abstractmethod
    def export(self, net: Any, path: Path) -> None:
        """Write the trained network for use."""
