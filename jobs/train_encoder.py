"""Train the mini encoder (text and audio) on lists of captioned sounds; minutes on a CPU."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from jobs.command import run_command


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.train_encoder", description=__doc__)
    parser.add_argument("out", metavar="OUT.safetensors", type=Path)
    parser.add_argument("lists", nargs="+", help="sounds.jsonl, ...")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    return run_command("train_encoder", train, parser.parse_args(argv))


def train(options: argparse.Namespace) -> None:
    from separator.encoders.mini import write_mini
    from separator.model.memory import keep_pages
    from separator.storage import Storage
    from separator.train.sound_lists import read_lists
    from separator.train.train_encoder import make_encoder, train_encoder

    storage = Storage()
    sources = read_lists(options.lists, storage)
    encoder = make_encoder(sources, options.seed)
    steps = train_encoder(encoder, sources, options.steps, options.batch, options.seed, storage)
    with keep_pages():  # on CPU, half of a step is the kernel clearing the same pages again
        show(steps, max(1, min(50, options.steps // 4)))
    write_mini(options.out, encoder)
    num_bytes = options.out.stat().st_size
    print(f"{options.out}: {encoder.encoder_id}, {len(encoder.words)} words, {num_bytes:,} bytes")


def show(steps: Iterator[dict[str, float]], every: int) -> None:
    start, sums = time.monotonic(), {"loss": 0.0, "accuracy": 0.0}
    for figures in steps:
        for key in sums:
            sums[key] += figures[key] / every
        if figures["step"] % every == 0:
            print(
                f"step {figures['step']:5}  loss {sums['loss']:.3f}  right {sums['accuracy']:.1%}"
                f"  {time.monotonic() - start:.0f} s",
                flush=True,
            )
            sums = dict.fromkeys(sums, 0.0)


if __name__ == "__main__":
    sys.exit(main())
