"""Train a separator driven by a detector's embedding of example sounds, from mined lists.

Shapes: B batch, T samples, D condition.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from separator.model.checkpoint import write_safetensors
from separator.model.detector import Detector
from separator.model.zero_shot_files import pack_detector
from separator.train.loop import Batch, State, measure_separation
from separator.train.mined_pairs import MinedPairs, check_latents
from separator.train.plot import SDRI
from separator.train.recipe import TrainSettings
from separator.train.task import Task


class ByExample(Task):
    """Yield batches of pairs; the detector itself is only needed for the finished file."""

    figure = SDRI

    def __init__(self, settings: TrainSettings, rate_hz: int, detector: Detector) -> None:
        super().__init__(settings)
        check_latents(self.sources, detector.latent_size)
        self.detector, data, seed = detector, settings.data, settings.seed
        self.examples = MinedPairs(self.sources, data, rate_hz, seed, self.storage)

    def measure(self, state: State, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and the SDRi."""
        return measure_separation(self.settings.optim, state, batch)

    def export(self, net: Any, path: Path) -> None:
        """Write a file for `load_model` that holds the detector too."""
        inner = pack_detector(self.detector.net, self.detector.labels)
        write_safetensors(net, path, encoder_id=None, encoder=inner)
