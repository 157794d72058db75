"""Train or fine-tune the separator on Ray Train: `python -m jobs.train CONFIG.yaml [key=value]`."""

import argparse
import sys

from jobs.command import join_ray, parse_config_arguments, run_command
from separator.config import read_settings
from separator.train.recipe import TrainSettings


def main(argv: list[str] | None = None) -> int:
    options = parse_config_arguments("python -m jobs.train", __doc__, argv)
    return run_command("train", train_by, options)


def train_by(options: argparse.Namespace) -> str:
    return train(read_settings(TrainSettings, options.config, options.overrides))


def train(settings: TrainSettings) -> str:
    """Train to the end, or go on from the newest checkpoint of the same output and name."""
    from separator.storage import Storage
    from separator.train.sound_lists import read_lists

    read_lists(settings.data.lists, Storage(settings.storage))  # a bad list fails before Ray starts
    join_ray()
    from separator.train.trainer import run_training

    folder = run_training(settings, show=lambda line: print(line, flush=True))
    print(f"model: {folder}/model.safetensors")
    return folder


if __name__ == "__main__":
    sys.exit(main())
