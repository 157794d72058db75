"""Train a separator driven by a detector's embedding of example sounds, from mined lists.

Shapes: B batch, T samples, D condition.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from separator.model.checkpoint import write_safetensors
from separator.model.detector import Detector
from separator.model.zero_shot_files import pack_detector
from separator.storage import Storage
from separator.train.loop import Batch, measure_separation
from separator.train.mined_pairs import MinedPairs, check_latents
from separator.train.plot import SDRI
from separator.train.readers import iterate_batches
from separator.train.recipe import TrainSettings
from separator.train.sound_lists import read_lists


class ByExample:
    """Yield batches of pairs; the detector itself is only needed for the finished file."""

    figure = SDRI

    def __init__(self, settings: TrainSettings, rate_hz: int, detector: Detector) -> None:
        storage = Storage(settings.storage)
        sources = read_lists(settings.data.lists, storage, settings.data.without)
        check_latents(sources, detector.latent_size)
        self.settings, self.detector = settings, detector
        self.examples = MinedPairs(sources, settings.data, rate_hz, settings.seed, storage)
        self.measure = partial(measure_separation, settings.optim)
        self.num_skipped = 0

    def iterate(
        self, first_step: int, rank: int, world: int, device: torch.device
    ) -> Iterator[Batch]:
        """Yield mixture, target and condition of each step from `first_step` on."""
        for batch in iterate_batches(self.examples, self.settings, first_step, rank, world):
            self.num_skipped += int(batch["num_skipped"].sum())
            keys = ("mixture", "target", "condition")
            yield {key: torch.tensor(batch[key]).to(device) for key in keys}

    def wrap(self, net: nn.Module) -> nn.Module:
        """Return what a step calls: the network itself."""
        return net

    def export(self, net: Any, path: Path) -> None:
        """Write a file for `load_model` that holds the detector too."""
        inner = pack_detector(self.detector.net, self.detector.labels)
        write_safetensors(net, path, encoder_id=None, encoder=inner)
