"""Train or fine-tune separators and detectors on Ray Train.

Run again with the same `output` and `name`, it goes on from the newest checkpoint.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from jobs.command import Command, add_config_arguments
from separator.errors import check_installed

if TYPE_CHECKING:
    from separator.train.recipe import TrainSettings

KEYS = """\
keys most used, as in the file or as key=value on the command line:
  output             where checkpoints go: a folder or s3://...
  name               name of the run, and of its folder below output
  encoder            a checkpoint that holds the text encoder: mini, a path, s3://...
  data.lists         lists of captioned sounds: [sounds.jsonl]
  net.start_from     a checkpoint to fine-tune: mini, a path, s3://...
  optim.num_steps    when to stop
  workers, use_gpu   processes in step with each other; one GPU for each
every key: configs/train.yaml"""


def run(options: argparse.Namespace) -> None:
    check_installed("matplotlib", "train")  # each checkpoint has a picture of the loss
    print("reading lists and weights ...", flush=True)
    from separator.config_file import read_settings
    from separator.train.recipe import TrainSettings

    try:
        train(read_settings(TrainSettings, options.config, options.overrides))
    except KeyboardInterrupt:
        import ray

        ray.shutdown()  # if Python did it at its end, busy workers might change the exit code
        raise


def train(settings: "TrainSettings") -> str:
    """Train to the end, or go on from the newest checkpoint; return the path of the last one."""
    from separator.train.start import check_start

    settings = check_start(settings)  # a bad list, encoder or network stops it here
    print("starting Ray ...", flush=True)
    from separator.run.local_ray import join_ray
    from separator.storage.arrow import export_checksums
    from separator.train.outputs import is_on_s3

    if is_on_s3(settings.output):
        export_checksums(settings.storage)  # before Ray starts: its processes inherit it
    join_ray()
    from separator.train.trainer import run_training

    folder = run_training(settings, show=lambda line: print(line, flush=True))
    print(f"model: {folder}/model.safetensors")
    return folder


TRAIN = Command(
    "train", "jobs.train", __doc__, add_config_arguments, run, KEYS,
    "configs/train-mini.yaml output=runs encoder=encoder.safetensors",
)  # fmt: skip
main = TRAIN.main

if __name__ == "__main__":
    sys.exit(main())
