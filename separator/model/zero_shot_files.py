"""Read the official files of zero-shot separation: the detector and the separator.

The official program loads whatever names fit and leaves the rest at random. Here every tensor must
be there, in its shape, and nothing else, except constants that the code computes itself.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from separator.errors import CheckpointMismatch
from separator.model.asp_unet import AspConfig, AspUnet
from separator.model.checkpoint import (
    Checkpoint,
    assign_weights,
    hash_weights,
    make_checkpoint,
)
from separator.model.contents import explain
from separator.model.detector import HOP, check_config
from separator.model.htsat import Htsat, read_config
from separator.model.resunet import ResUNet
from separator.model.tensors import read_tensors

log = logging.getLogger(__name__)

DETECTOR, INNER_DETECTOR = "sed_model.", "at_model."
# Of no effect or computed here: Fourier kernels, tables of positions, masks, and a layer that is
# not used with the token-semantic head.
DETECTOR_CONSTANTS = ("relative_position_index", "attn_mask")
DETECTOR_UNUSED = ("spectrogram_extractor.", "head.")
ASP_FIRST = "encoder_block1.conv_block.emb1.weight"
ASP_CONSTANTS = (
    "stft.conv_real.weight",
    "stft.conv_imag.weight",
    "istft.conv_real.weight",
    "istft.conv_imag.weight",
    "istft.ola_window",
)
HIGHEST_HZ = 14_000  # where the mel filters end
LABELS_FILE = Path(__file__).with_name("audioset.txt")
NUM_AUDIOSET = 527


def read_detector(path: Path) -> Htsat:
    """Read a detector's file: the names of its tensors begin with `sed_model.`."""
    tensors, _ = read_tensors(path)
    own = {n.removeprefix(DETECTOR): t for n, t in tensors.items() if n.startswith(DETECTOR)}
    foreign = len(tensors) - len(own)
    if not own or foreign:
        raise CheckpointMismatch(f"{path}: no detector, but {explain(tensors)}")
    wanted = {
        name: tensor
        for name, tensor in own.items()
        if not name.endswith(DETECTOR_CONSTANTS) and not name.startswith(DETECTOR_UNUSED)
    }
    try:
        config = read_config(wanted, HOP)
        check_config(config)
        _check_rate(wanted["logmel_extractor.melW"])
    except (KeyError, ValueError, TypeError, CheckpointMismatch) as error:
        raise CheckpointMismatch(f"{path}: another detector: {error}") from None
    with torch.device("meta"):
        net = Htsat(config)
    assign_weights(path, net, wanted)
    return net


def read_asp_unet(path: Path) -> AspUnet:
    """Read the separator's file: its tensors have no prefix.

    The official program keeps a copy of the detector in it, under `at_model.`, and lets that copy
    replace the detector without a word. Here it is left aside, with a warning.
    """
    return make_asp_unet(path, read_tensors(path)[0])


def make_asp_unet(path: Path, tensors: Mapping[str, Tensor]) -> AspUnet:
    """Check the separator in what was read of a file."""
    own = {n: t for n, t in tensors.items() if not n.startswith((INNER_DETECTOR, *ASP_CONSTANTS))}
    if ASP_FIRST not in own:
        raise CheckpointMismatch(f"{path}: no separator by example sounds, but {explain(tensors)}")
    try:
        config = _read_asp_config(own)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointMismatch(f"{path}: another separator: {error}") from None
    with torch.device("meta"):
        net = AspUnet(config)
    assign_weights(path, net, own)
    if any(name.startswith(INNER_DETECTOR) for name in tensors):
        log.warning(
            "%s: holds a detector too (%s...): it is not used, load one with load_detector",
            path,
            INNER_DETECTOR,
        )
    return net


def read_separator(path: Path) -> Checkpoint[ResUNet] | Checkpoint[AspUnet]:
    """Read a separator of any kind: the names of its tensors tell which."""
    tensors, metadata = read_tensors(path)
    if ASP_FIRST not in tensors:
        return make_checkpoint(path, tensors, metadata)
    net = make_asp_unet(path, tensors)
    return Checkpoint(net, None, hash_weights(net.state_dict()))


def _read_asp_config(state: Mapping[str, Tensor]) -> AspConfig:
    """Read the sizes from the tensors' shapes."""
    first = [f"encoder_block{i}.conv_block.conv1.weight" for i in range(1, 7)]
    widths = tuple(len(state[name]) for name in [*first, "conv_block7.conv1.weight"])
    return AspConfig(
        n_fft=2 * (len(state["bn0.weight"]) - 1),
        condition_size=state[ASP_FIRST].shape[1],
        widths=widths,
    )


def read_labels(num_classes: int) -> list[str]:
    """Return the names of AudioSet's 527 classes in their order; numbers for other classes."""
    if num_classes == NUM_AUDIOSET:
        return LABELS_FILE.read_text().splitlines()
    return [str(index) for index in range(num_classes)]


def _check_rate(mel_filters_FM: Tensor) -> None:
    """Refuse detectors of other rates: of the same shapes, but their filters end elsewhere."""
    highest = int(mel_filters_FM.any(1).nonzero().max())
    expected = HIGHEST_HZ * 2 * (len(mel_filters_FM) - 1) // 32_000
    if abs(highest - expected) > 2:
        raise CheckpointMismatch(
            f"its mel filters end at bin {highest}, at 32000 Hz they end at {expected}: "
            "it was made for another rate"
        )
