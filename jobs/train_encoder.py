"""Train the encoder of the mini model on captioned sounds.

It takes minutes on a CPU.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from jobs.command import Command, check_least, check_new_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT.safetensors", type=Path, help="the file to write")
    parser.add_argument("lists", nargs="+", metavar="LIST", help="sounds.jsonl, ...")
    parser.add_argument("--steps", type=int, default=600, help="steps of training (600)")
    parser.add_argument("--batch", type=int, default=64, help="sounds of one step (64)")
    parser.add_argument(
        "--words-of",
        metavar="START",
        help="teach this encoder the words of the lists' captions; "
        "a separator trained with it goes on with them",
    )
    parser.add_argument("--force", action="store_true", help="overwrite any OUT")
    parser.add_argument("--seed", type=int, default=0, help="another seed: another encoder (0)")


def train(options: argparse.Namespace) -> None:
    check_least(options, steps=1, batch=2, seed=0)
    from separator.encoders.mini import read_mini, write_mini
    from separator.model.memory import keep_pages
    from separator.model.registry import resolve
    from separator.storage import Storage
    from separator.storage.atomic import take_folder
    from separator.train.outputs import check_file
    from separator.train.sound_lists import read_lists
    from separator.train.train_encoder import make_encoder, train_encoder
    from separator.train.train_words import teach_words

    options.out = take_folder(options.out.parent) / options.out.name
    storage = Storage()
    sources = read_lists(options.lists, storage)
    check_file(options.out)
    check_new_file(options.out, options.force or is_own(options.out))
    asked = options.steps, options.batch, options.seed
    if options.words_of:
        start = read_mini(resolve(options.words_of, storage.fetch))
        encoder, steps = teach_words(start, sources, *asked, storage)
    else:
        encoder = make_encoder(sources, options.seed)
        steps = train_encoder(encoder, sources, *asked, storage)
    with keep_pages():  # on CPU, half of a step is the kernel clearing the same pages again
        show(steps, max(1, min(50, options.steps // 4)))
    write_mini(options.out, encoder)
    num_bytes = options.out.stat().st_size
    print(f"{options.out}: {encoder.encoder_id}, {len(encoder.words)} words, {num_bytes:,} bytes")


def is_own(path: Path) -> bool:
    """Tell whether a file is an encoder alone, as this command writes it: the same command may
    overwrite it without --force."""
    from separator.encoders.mini import TENSORS, is_mini
    from separator.errors import CheckpointError
    from separator.model.tensors import read_tensors

    try:
        tensors, metadata = read_tensors(path)
    except CheckpointError:
        return False
    return is_mini(metadata.get("encoder")) and all(name.startswith(TENSORS) for name in tensors)


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


TRAIN_ENCODER = Command(
    "train-encoder", "jobs.train_encoder", __doc__, add_arguments, train,
    example="encoder.safetensors sounds/train/sounds.jsonl", resumes=False,
)  # fmt: skip
main = TRAIN_ENCODER.main

if __name__ == "__main__":
    sys.exit(main())
