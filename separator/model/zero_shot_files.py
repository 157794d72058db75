"""Read the files of zero-shot separation: the detector and the separator, official or our own.

The official program loads the tensors whose names fit, and leaves all others random. Here a file
must hold every tensor in its shape and no other, except constants that the code computes itself.

A file of our own may hold a separator and a copy of its detector, which its metadata names:
`encoder` is `htsat:` and a hash of the detector's weights, `labels` the names of its classes.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from separator.errors import CheckpointMismatch, ChecksumMismatch, RequestError
from separator.model.asp_unet import AspConfig, AspUnet
from separator.model.checkpoint import (
    DETECTOR,
    Checkpoint,
    assign_weights,
    check_finite,
    check_identity,
    hash_weights,
    make_checkpoint,
    read_rates,
)
from separator.model.contents import explain
from separator.model.detector import HOP, check_config
from separator.model.htsat import Htsat, read_config
from separator.model.identity import ANY_DETECTOR, DETECTOR_PREFIX
from separator.model.resunet import ResUNet
from separator.model.tensors import (
    FORMAT,
    cast_floats,
    read_tensors,
    read_texts,
    take_prefixed,
    write_tensors,
)

log = logging.getLogger(__name__)

INNER_DETECTOR = "at_model."
# Tensors without effect, or computed here: Fourier kernels, tables of positions, masks, and a layer
# that is not used with the token-semantic head.
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


def pack_detector(
    net: Htsat, labels: Sequence[str], dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and metadata that a separator's file holds beside the network's.

    For `write_safetensors(..., encoder_id=None, encoder=pack_detector(net, labels))`.
    """
    assert len(labels) == net.config.num_classes, len(labels)
    state = cast_floats(net.state_dict(), dtype)
    check_finite(Path("detector"), state)
    metadata = {"encoder": compute_detector_id(state), "labels": json.dumps(list(labels))}
    return {f"{DETECTOR}{name}": t for name, t in state.items()}, metadata


def write_detector(path: Path, net: Htsat, labels: Sequence[str]) -> None:
    """Write a detector into a file of its own."""
    tensors, metadata = pack_detector(net, labels)
    write_tensors(path, tensors, metadata | {"format": FORMAT})


def compute_detector_id(state: Mapping[str, Tensor]) -> str:
    """Compute the id of a detector with these weights: equal ids, equal embeddings."""
    return DETECTOR_PREFIX + hash_weights(state)[:16]


def is_detector_id(encoder_id: str | None) -> bool:
    return (encoder_id or "").startswith(DETECTOR_PREFIX)


def read_detector(path: Path) -> tuple[Htsat, list[str]]:
    """Read a detector and the names of its classes, from its own file (the names of its tensors
    begin with `sed_model.`) or from the copy inside a separator's file of our own."""
    return make_htsat(path, *read_tensors(path))


def make_htsat(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[Htsat, list[str]]:
    """Build and check the detector from the tensors and metadata of a file."""
    own = take_prefixed(tensors, DETECTOR)
    named_id = metadata.get("encoder")
    others = [name for name in tensors if not name.startswith(DETECTOR)]
    if not own or (others and not is_detector_id(named_id)):
        raise CheckpointMismatch(f"{path}: no detector, but {explain(others)}")
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
    if is_detector_id(named_id) and (found := compute_detector_id(net.state_dict())) != named_id:
        raise ChecksumMismatch(
            f"{path}: holds the detector {found}, metadata says {named_id!r}: take another copy"
        )
    return net, _find_labels(path, metadata, config.num_classes)


def make_asp_unet(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> AspUnet:
    """Build and check the separator from the tensors, which have no prefix, and metadata of a file.

    The official program keeps a copy of the detector in it, under `at_model.`, and silently lets
    that copy replace the detector. Here the copy is ignored, with a warning.
    """
    foreign = (DETECTOR, INNER_DETECTOR, *ASP_CONSTANTS)
    own = {n: t for n, t in tensors.items() if not n.startswith(foreign)}
    try:
        config = _read_asp_config(own, read_rates(path, metadata, AspConfig()))
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointMismatch(f"{path}: another separator: {error}") from None
    with torch.device("meta"):
        net = AspUnet(config)
    assign_weights(path, net, own)
    if any(name.startswith(INNER_DETECTOR) for name in tensors):
        log.warning(
            "%s: holds a detector too (%s...): it is not used, take the detector's own file",
            path,
            INNER_DETECTOR,
        )
    return net


def read_separator(path: Path) -> Checkpoint[ResUNet] | Checkpoint[AspUnet]:
    """Read a separator of any kind: the names of its tensors tell which."""
    tensors, metadata = read_tensors(path)
    if ASP_FIRST not in tensors:
        return make_checkpoint(path, tensors, metadata)
    net = make_asp_unet(path, tensors, metadata)
    encoder_id = metadata.get("encoder", ANY_DETECTOR)
    return Checkpoint(net, encoder_id, check_identity(path, net, metadata))


def _read_asp_config(state: Mapping[str, Tensor], rates: Mapping[str, int]) -> AspConfig:
    """Read the sizes from the tensors' shapes."""
    first = [f"encoder_block{i}.conv_block.conv1.weight" for i in range(1, 7)]
    widths = tuple(len(state[name]) for name in [*first, "conv_block7.conv1.weight"])
    return AspConfig(
        **rates,
        n_fft=2 * (len(state["bn0.weight"]) - 1),
        condition_size=state[ASP_FIRST].shape[1],
        widths=widths,
    )


def read_labels(num_classes: int) -> list[str]:
    """Return the names of AudioSet's 527 classes in their order; numbers for other classes."""
    if num_classes == NUM_AUDIOSET:
        return LABELS_FILE.read_text().splitlines()
    return [str(index) for index in range(num_classes)]


def find_column(labels: Sequence[str], number: int) -> int:
    """Find the column of AudioSet's class `number` among a detector's labels, which may be in
    another order: detectors trained here have them in alphabetical order."""
    name = read_labels(NUM_AUDIOSET)[number]
    if name not in labels:
        raise RequestError(
            f"the detector does not know AudioSet's class {number}, {name!r}: one that knows all "
            f"{NUM_AUDIOSET} is stsed; this one has {len(labels)} labels, such as {labels[0]!r}"
        )
    return labels.index(name)


def _find_labels(path: Path, metadata: Mapping[str, str], num_classes: int) -> list[str]:
    """Read the names of a detector's classes from its file's metadata, else take the usual ones."""
    if "labels" not in metadata:
        return read_labels(num_classes)
    return read_texts(path, metadata, "labels", num_classes)


def _check_rate(mel_filters_FM: Tensor) -> None:
    """Refuse detectors of other rates: their shapes are equal, but their filters end elsewhere."""
    if not mel_filters_FM.is_floating_point() or not mel_filters_FM.any():
        raise CheckpointMismatch("its mel filters are no numbers above 0")
    highest = int(mel_filters_FM.any(1).nonzero().max())
    expected = HIGHEST_HZ * 2 * (len(mel_filters_FM) - 1) // 32_000
    if abs(highest - expected) > 2:
        raise CheckpointMismatch(
            f"its mel filters end at bin {highest}, at 32000 Hz they end at {expected}: "
            "it was made for another rate"
        )
