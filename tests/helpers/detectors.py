"""Make a small detector with random weights."""

from collections.abc import Sequence
from pathlib import Path

import torch

from separator.model.detector import Detector
from separator.model.frame_detector import FrameDetector
from separator.model.frame_net import RATE_HZ
from separator.model.zero_shot_files import write_detector
from separator.train.recipe import DetectorSettings
from separator.train.tagging import make_detector
from separator.train.timing import make_frame_net

LABELS = ("siren", "dog", "rain")


def make_small_detector(labels: Sequence[str] = LABELS, seed: int = 0) -> Detector:
    """Random weights whose scores differ in time and between labels, around one half."""
    torch.manual_seed(seed)
    net = make_detector(DetectorSettings(width=8, depths=[1, 1, 1, 1]), len(labels))
    with torch.no_grad():
        net.tscam_conv.weight.mul_(20)
        net.tscam_conv.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    return Detector(net, labels)


def write_small_detector(path: Path, labels: Sequence[str] = LABELS) -> Path:
    write_detector(path, make_small_detector(labels).net, labels)
    return path


def make_frame_detector(
    labels: Sequence[str] = LABELS, thresholds: Sequence[float] | None = None
) -> FrameDetector:
    """Random weights whose scores differ in time and between labels, around one half."""
    torch.manual_seed(0)
    net = make_frame_net(DetectorSettings(widths=[4, 4, 8, 8, 8], row_width=16), len(labels))
    noise_1T = 0.1 * torch.randn(1, 5 * RATE_HZ)
    with torch.no_grad():
        for _ in range(2):  # scale, then move
            logits_RK = net.eval()(noise_1T * torch.linspace(0, 1, noise_1T.shape[1])).logits[0]
            net.out.weight.div_(logits_RK.std(0)[:, None, None])
            net.out.bias.sub_(logits_RK.mean(0))  # pyright: ignore[reportOptionalMemberAccess]
    return FrameDetector(net, labels, thresholds)
