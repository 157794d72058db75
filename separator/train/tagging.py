"""Train a detector: HTS-AT with a token-semantic head, on sounds that have labels but no times.

The recipe is that of ST-SED's official code: SpecAugment and mixup on normalised levels, and the
binary cross entropy of the clipwise scores. Its mixup keeps the first example's labels alone.

Shapes: B batch, T samples, N frames, M mel bands, K labels.
"""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from separator.errors import RequestError
from separator.model.detector import HOP, RATE_HZ
from separator.model.htsat import HEADS, Block, Htsat, HtsatConfig
from separator.model.zero_shot_files import write_detector
from separator.train.loop import Batch, State, narrow
from separator.train.plot import PlottedFigure
from separator.train.recipe import DetectorSettings, TrainSettings
from separator.train.tag_examples import TagExamples
from separator.train.task import Task

NUM_BINS, NUM_MELS = 513, 64
LOWEST_HZ, HIGHEST_HZ = 50.0, 14_000.0
# Standard deviation of initial weights at the official width; narrower networks get larger weights,
# which keep the level of a signal.
WEIGHT_STD, FULL_WIDTH = 0.02, 256


def make_detector(settings: DetectorSettings, num_classes: int) -> Htsat:
    """Build an untrained detector, initialised as the official code does."""
    if settings.width % HEADS:
        raise RequestError(f"detector.width={settings.width}: must be a multiple of {HEADS}")
    depths = tuple(settings.depths)
    net = Htsat(HtsatConfig(NUM_BINS, NUM_MELS, settings.width, depths, HOP, num_classes))
    net.logmel_extractor["melW"].data.copy_(make_mel_filters()).requires_grad_(False)
    net.logmel_extractor.requires_grad_(False)
    std = WEIGHT_STD * math.sqrt(FULL_WIDTH / settings.width)
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, parameter in net.named_parameters():
        if name.endswith("relative_position_bias_table"):
            nn.init.trunc_normal_(parameter, std=WEIGHT_STD)
    # The scores begin at the share of examples that have a label, not at one half.
    bias: Any = net.tscam_conv.bias
    nn.init.constant_(bias, -math.log(max(1, num_classes - 1)))
    blocks = [module for module in net.modules() if isinstance(module, Block)]
    for i, block in enumerate(blocks):
        block.drop_ratio = settings.drop_ratio * i / max(1, len(blocks) - 1)
    return net


def make_mel_filters() -> Tensor:
    """Make the filters (F, M) of ST-SED: 64 bands from 50 Hz to 14 kHz."""
    return melscale_fbanks(
        NUM_BINS, LOWEST_HZ, HIGHEST_HZ, NUM_MELS, RATE_HZ, norm="slaney", mel_scale="slaney"
    )


class Tagger(nn.Module):
    """A detector in training: waveforms (B, T) and their weights in mixup -> clipwise logits."""

    def __init__(self, net: Htsat, settings: DetectorSettings) -> None:
        super().__init__()
        self.net, self.settings = net, settings

    def forward(self, waveform_BT: Tensor, own_share_B: Tensor | None, autocast: bool) -> Tensor:
        level_B1NM = self.net.measure_levels(waveform_BT)
        settings = self.settings
        for dim, most in ((2, settings.stripe_frames), (3, settings.stripe_mels)):
            for _ in range(settings.stripes if self.training else 0):
                level_B1NM = hide_stripe(level_B1NM, dim, most)
        if own_share_B is not None:  # mixup of each example with its mirror image in the batch
            own_B111 = own_share_B[:, None, None, None]
            level_B1NM = own_B111 * level_B1NM + (1 - own_B111) * level_B1NM.flip(0)
        with narrow(waveform_BT.device, autocast):
            x_BHWC = self.net.encode(self.net.lay_out(level_B1NM))
        return self.net.score(x_BHWC.float()).mean(-1)


def hide_stripe(level_B1NM: Tensor, dim: int, most: int) -> Tensor:
    """Set one random stripe of each example to the mean level, which is zero."""
    num_examples, size = len(level_B1NM), level_B1NM.shape[dim]
    widest = max(1, min(most, size))
    width_B1 = torch.randint(0, widest, (num_examples, 1), device=level_B1NM.device)
    start_B1 = (torch.rand_like(width_B1, dtype=torch.float32) * (size - width_B1)).long()
    place_1S = torch.arange(size, device=level_B1NM.device)[None]
    kept_BS = (place_1S < start_B1) | (place_1S >= start_B1 + width_B1)
    shape = [num_examples, 1, 1, 1]
    shape[dim] = size
    return level_B1NM * kept_BS.view(shape)


class Tagging(Task):
    """Yield batches of waveforms and labels, and measure how well the scores fit them."""

    figure = PlottedFigure("right", "right", "")

    def __init__(self, settings: TrainSettings) -> None:
        super().__init__(settings)
        data, seed = settings.data, settings.seed
        self.examples = TagExamples(self.sources, data, RATE_HZ, seed, self.storage)
        self.labels = self.examples.labels

    def wrap(self, net: nn.Module) -> nn.Module:
        """Return what a step calls: the detector with its augmentation."""
        assert isinstance(net, Htsat)
        return Tagger(net, self.settings.detector)

    def measure(self, state: State, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and the share of examples whose highest score is a label of theirs."""
        waveform_BT, labels_BK = batch["waveform"], batch["labels"]
        own_share_B = None
        if alpha := self.settings.detector.mixup:
            beta = torch.distributions.Beta(alpha, alpha)
            own_share_B = beta.sample((len(waveform_BT),)).to(waveform_BT.device)
        logits_BK = state.call(waveform_BT, own_share_B, self.settings.optim.autocast)
        loss = F.binary_cross_entropy_with_logits(logits_BK, labels_BK)
        right_B = labels_BK.gather(1, logits_BK.detach().argmax(1, keepdim=True))
        return loss, {"right": float(right_B.mean())}

    def export(self, net: Any, path: Path) -> None:
        """Write a file for `load_detector`."""
        write_detector(path, net, self.labels)
