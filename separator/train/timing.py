"""Train a detector that says when: a `FrameNet`, on sounds at known times.

Shapes: B batch, T samples, N frames, M mel bands, R rows, K labels.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.errors import RequestError
from separator.model.frame_detector import write_frame_detector
from separator.model.frame_net import NUM_MELS, FrameConfig, FrameNet
from separator.train.loop import Batch, State, narrow
from separator.train.placed_sounds import PlacedSounds
from separator.train.plot import PlottedFigure
from separator.train.recipe import DetectorSettings, TrainSettings
from separator.train.tagging import make_mel_filters
from separator.train.task import Task

ABOUT_TWO = 2.0  # labels that sound at a time: divides the loss, which is summed over all labels


def make_frame_net(settings: DetectorSettings, num_classes: int) -> FrameNet:
    """Build an untrained network."""
    try:
        net = FrameNet(FrameConfig(num_classes, tuple(settings.widths), settings.row_width))
    except ValueError as error:
        raise RequestError(f"detector: {error}") from None
    net.mel_FM.copy_(make_mel_filters())
    return net


class FrameTraining(nn.Module):
    """A detector in training: waveforms (B, T) -> scores before the sigmoid (B, R, K)."""

    def __init__(self, net: FrameNet, settings: DetectorSettings) -> None:
        super().__init__()
        self.net, self.settings = net, settings

    def forward(self, waveform_BT: Tensor, autocast: bool) -> Tensor:
        with torch.no_grad():
            level_BNM = self.net.measure_levels(waveform_BT)
            for _ in range(self.settings.stripes if self.training else 0):
                level_BNM = hide_bands(level_BNM, self.settings.stripe_mels)
        with narrow(waveform_BT.device, autocast):
            return self.net.score(level_BNM).logits.float()


def hide_bands(level_BNM: Tensor, most: int) -> Tensor:
    """Set a random stripe of mel bands to the mean level of its example."""
    num_examples = len(level_BNM)
    width_B1 = torch.randint(0, most + 1, (num_examples, 1), device=level_BNM.device)
    start_B1 = (torch.rand(width_B1.shape, device=width_B1.device) * (NUM_MELS - width_B1)).long()
    band_1M = torch.arange(NUM_MELS, device=level_BNM.device)[None]
    is_hidden_BM = (band_1M >= start_B1) & (band_1M < start_B1 + width_B1)
    return torch.where(is_hidden_BM[:, None], level_BNM.mean((1, 2), keepdim=True), level_BNM)


class Timing(Task):
    """Yield batches of waveforms and the labels active in each row, and measure the scores."""

    figure = PlottedFigure("f1", "F1", "")

    def __init__(self, settings: TrainSettings) -> None:
        super().__init__(settings)
        self.examples = PlacedSounds(self.sources, settings.data, settings.seed, self.storage)
        self.labels = self.examples.labels

    def wrap(self, net: nn.Module) -> nn.Module:
        """Return what a step calls: the detector with its augmentation."""
        assert isinstance(net, FrameNet)
        return FrameTraining(net, self.settings.detector)

    def measure(self, state: State, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and the F1 of rows at a threshold of one half."""
        logits_BRK = state.call(batch["waveform"], self.settings.optim.autocast)
        active_BRK = batch["active"]
        loss = F.binary_cross_entropy_with_logits(logits_BRK, active_BRK)
        is_found_BRK = logits_BRK.detach() > 0
        hits = float((is_found_BRK & (active_BRK > 0)).sum())
        total = float(is_found_BRK.sum() + active_BRK.sum())
        return loss * len(self.labels) / ABOUT_TWO, {"f1": 2 * hits / max(total, 1.0)}

    def export(self, net: Any, path: Path) -> None:
        """Write a file for `load_detector`."""
        write_frame_detector(path, net, self.labels)
