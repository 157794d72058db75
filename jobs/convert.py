"""Turn a checkpoint into our safetensors: without the optimizer, and without code in it."""

import argparse
import sys
from pathlib import Path

import torch

from jobs.command import run_command
from separator.encoders import mini
from separator.errors import RequestError
from separator.model import registry
from separator.model.checkpoint import Checkpoint, read_checkpoint, write_safetensors
from separator.model.download import hash_file

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.convert", description=__doc__)
    parser.add_argument("src", metavar="SRC", help="a checkpoint's path, or a published name")
    parser.add_argument("dst", metavar="DST.safetensors", type=Path)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="fp32")
    parser.add_argument("--force", action="store_true", help="overwrite DST")
    return run_command("convert", convert, parser.parse_args(argv))


def convert(options: argparse.Namespace) -> None:
    dst = options.dst
    if dst.suffix != ".safetensors":
        raise RequestError(f"{dst}: must end in .safetensors")
    if not dst.parent.is_dir():
        raise RequestError(f"{dst.parent}: no such folder")
    if dst.exists() and not options.force:
        raise RequestError(f"{dst}: exists; --force overwrites it")
    path = registry.resolve(options.src)
    before_bytes, source_sha256 = path.stat().st_size, hash_file(path)
    before = read_checkpoint(path)
    has_mini = (before.encoder_id or "").startswith(mini.PREFIX)
    packed = mini.pack_mini(mini.read_mini(path) if has_mini else None)
    sha256 = write_safetensors(
        before.net, dst, before.encoder_id, DTYPES[options.dtype], source_sha256, encoder=packed
    )
    after = read_checkpoint(dst)
    num_parameters = sum(p.numel() for p in after.net.parameters())
    print(
        f"{before_bytes / 1e6:,.1f} MB -> {dst.stat().st_size / 1e6:,.1f} MB {options.dtype},"
        f" {num_parameters:,} parameters, largest error {measure_error(before, after):.1e}"
    )
    print(f"sha256 {sha256}")


def measure_error(before: Checkpoint, after: Checkpoint) -> float:
    """The largest relative change of a weight; zeros are kept by every rounding."""
    largest = 0.0
    new = after.net.state_dict()
    for name, old in before.net.state_dict().items():
        floor = torch.finfo(torch.float32).tiny
        change = (new[name] - old).float().abs_().div_(old.float().abs().clamp_min_(floor))
        largest = max(largest, float(change.max()))
    return largest


if __name__ == "__main__":
    sys.exit(main())
