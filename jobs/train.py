"""Train or fine-tune the separator on Ray Train.

The same `output` and `name` again goes on from the newest checkpoint.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.command import Command, add_config_arguments

if TYPE_CHECKING:
    from separator.train.recipe import TrainSettings

KEYS = """\
keys most used, as in the file or as key=value on the command line:
  output             where checkpoints go: a folder or s3://...
  name               of the run, below output
  encoder            a checkpoint that holds the text encoder
  data.lists         lists of captioned sounds: [sounds.jsonl]
  net.start_from     a checkpoint to fine-tune
  optim.num_steps    when to stop
  workers, use_gpu   processes in step with each other; one GPU for each
every key: configs/train-audiosep.yaml"""


def run(options: argparse.Namespace) -> None:
    print("reading the lists ...", flush=True)
    from separator.config_file import read_settings
    from separator.train.recipe import TrainSettings

    train(read_settings(TrainSettings, options.config, options.overrides))


def train(settings: "TrainSettings") -> str:
    """Train to the end; the path of the last checkpoint."""
    from separator.storage import Storage
    from separator.train.sound_lists import read_lists

    read_lists(settings.data.lists, Storage(settings.storage))  # a bad list stops it here
    print("starting Ray ...", flush=True)
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from separator.run.local_ray import join_ray
    from separator.train.worker import run_worker

    output = settings.output
    if "://" not in output:
        output = str(Path(output).resolve())
    join_ray(log_to_driver=True)  # progress is printed by the first worker
    trainer = TorchTrainer(
        run_worker,  # pyright: ignore[reportArgumentType] # any object travels as config
        train_loop_config=settings,  # pyright: ignore
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.use_gpu,
            # Next to nothing: workers that hold every CPU would wait for ever for their readers.
            resources_per_worker={"CPU": 0.01} | ({"GPU": 1} if settings.use_gpu else {}),
        ),
        run_config=RunConfig(
            name=settings.name,
            storage_path=output,
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=settings.keep),
        ),
    )
    result = trainer.fit()
    assert result.checkpoint is not None
    print(f"model: {result.checkpoint.path}/model.safetensors")
    return result.checkpoint.path


TRAIN = Command(
    "train", "jobs.train", __doc__, add_config_arguments, run, KEYS,
    "configs/train-mini.yaml output=runs encoder=encoder.safetensors",
)  # fmt: skip
main = TRAIN.main

if __name__ == "__main__":
    sys.exit(main())
