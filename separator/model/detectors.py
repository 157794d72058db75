"""Load a detector of any kind, by name, path or URI."""

from pathlib import Path
from typing import Any

from separator.audio.exact import plain_torch
from separator.errors import RequestError
from separator.model import registry
from separator.model.detector import Detector
from separator.model.frame_detector import FrameDetector, is_frame_file, make_frame_file
from separator.model.tensors import read_tensors
from separator.model.zero_shot_files import make_htsat
from separator.storage import Storage


@plain_torch()
def load_detector(
    name: str | Path,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    storage: Storage | None = None,
) -> Detector | FrameDetector:
    """Load a detector, which says when each of its classes sounds: `detect(waveform, rate_hz)`.

    Args:
        name: `mini-detector`, a path, an `s3://` URI, or `stsed` or `htsat`, whose files are put
            into the folder of downloads by hand. A separator's file may hold a detector too.
        device: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.
        precision: of an HTS-AT: `fp32`, `bf16`, or `auto`: bf16 if the device multiplies it
            natively. Others run in fp32.
        storage: as in `load_model`.
    """
    path = registry.resolve(name, (storage or Storage()).fetch)
    tensors, metadata = read_tensors(path)
    if is_frame_file(tensors):
        found = make_frame_file(path, tensors, metadata)
        return FrameDetector(found.net, found.labels, found.thresholds, device)
    net, labels = make_htsat(path, tensors, metadata)
    return Detector(
        net,
        labels,
        device,
        precision,  # pyright: ignore[reportArgumentType] # checked by the detector
    )


def load_htsat(name: str | Path, **more: Any) -> Detector:
    """Load a detector whose embedding drives a zero-shot separator; see `load_detector`."""
    detector = load_detector(name, **more)
    if not isinstance(detector, Detector):
        raise RequestError(
            f"{str(name)!r}: this detector drives no separator; give an HTS-AT, such as "
            "mini-zeroshot, which holds one, or stsed"
        )
    return detector
