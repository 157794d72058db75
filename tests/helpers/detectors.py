"""Make a small detector with random weights."""

from collections.abc import Sequence
from pathlib import Path

import torch

from separator.model.detector import Detector
from separator.model.zero_shot_files import write_detector
from separator.train.recipe import DetectorSettings
from separator.train.tagging import make_detector

LABELS = ("siren", "dog", "rain")


def make_small_detector(labels: Sequence[str] = LABELS, seed: int = 0) -> Detector:
    """Random weights whose scores differ in time and between labels, around one half."""
    torch.manual_seed(seed)
    net = make_detector(DetectorSettings(width=8, depths=[1, 1, 1, 1]), len(labels))
    with torch.no_grad():
        net.tscam_conv.weight.mul_(20)
        net.tscam_conv.bias.zero_()
    return Detector(net, labels)


def write_small_detector(path: Path, labels: Sequence[str] = LABELS) -> Path:
    write_detector(path, make_small_detector(labels).net, labels)
    return path
