"""Convert a checkpoint to safetensors, without its optimizer.

A safetensors file holds no code. The largest change of a weight is printed, and the sha256 of the
weights: the manifest has this one, not the sha256 of the file.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.command import Command, check_new_file

if TYPE_CHECKING:
    import torch

    from separator.model.checkpoint import Checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("src", metavar="SRC", help="a checkpoint's path, or a published name")
    parser.add_argument("dst", metavar="DST.safetensors", type=Path, help="the file to write")
    parser.add_argument(
        "--dtype", choices=("bf16", "fp32"), default="fp32", help="type of the weights (fp32)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite DST")


def convert(options: argparse.Namespace) -> None:
    dst = options.dst
    check_new_file(dst, options.force)
    import torch

    from separator.model import registry
    from separator.model.checkpoint import write_safetensors
    from separator.model.download import hash_file
    from separator.model.zero_shot_files import read_separator

    path = registry.resolve(options.src)
    before_bytes, source_sha256 = path.stat().st_size, hash_file(path)
    before = read_separator(path)
    dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
    tensors, metadata = pack_encoder(path, before.encoder_id, dtype)
    packed = tensors, metadata | find_calibration(path)
    sha256 = write_safetensors(
        before.net, dst, before.encoder_id, dtype, source_sha256, encoder=packed
    )
    after = read_separator(dst)
    num_parameters = sum(p.numel() for p in after.net.parameters())
    print(
        f"{before_bytes / 1e6:,.1f} MB -> {dst.stat().st_size / 1e6:,.1f} MB {options.dtype},"
        f" {num_parameters:,} parameters, largest error {measure_error(before, after):.1e}"
    )
    print(f"weights sha256 {sha256}")


def pack_encoder(path: Path, encoder_id: str | None, dtype: "torch.dtype") -> tuple[dict, dict]:
    """Return the tensors and metadata of the encoder or the detector that a file of this package
    holds; rounding changes its id."""
    from separator.encoders import mini
    from separator.model.identity import ANY_DETECTOR
    from separator.model.zero_shot_files import is_detector_id, pack_detector, read_detector

    if is_detector_id(encoder_id) and encoder_id != ANY_DETECTOR:
        return pack_detector(*read_detector(path), dtype)
    return mini.pack_mini(mini.read_mini(path) if mini.is_mini(encoder_id) else None, dtype)


def find_calibration(path: Path) -> dict[str, str]:
    """Return the line that `separator calibrate` has added to a file. A rounded encoder keeps it:
    its similarities differ by less than the line tells apart."""
    from separator.encoders.lookup import CALIBRATION
    from separator.model.tensors import read_tensors

    _, metadata = read_tensors(path)
    return {key: line for key, line in metadata.items() if key == CALIBRATION}


def measure_error(before: "Checkpoint", after: "Checkpoint") -> float:
    """Return the largest relative change of a weight; zeros are kept by every rounding."""
    import torch

    largest = 0.0
    new = after.net.state_dict()
    for name, old in before.net.state_dict().items():
        floor = torch.finfo(torch.float32).tiny
        change = (new[name] - old).float().abs_().div_(old.float().abs().clamp_min_(floor))
        largest = max(largest, float(change.max()))
    return largest


CONVERT = Command(
    "convert", "jobs.convert", __doc__, add_arguments, convert,
    example="audiosep-hive hive.safetensors --dtype bf16", resumes=False,
)  # fmt: skip
main = CONVERT.main

if __name__ == "__main__":
    sys.exit(main())
