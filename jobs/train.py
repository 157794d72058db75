"""Train or fine-tune the separator on Ray Train: `python -m jobs.train CONFIG.yaml [key=value]`."""

import argparse
import os
import sys
from pathlib import Path

from jobs.command import parse_config_arguments, run_command
from separator.config import read_settings
from separator.train.recipe import TrainSettings


def main(argv: list[str] | None = None) -> int:
    options = parse_config_arguments("python -m jobs.train", __doc__, argv)
    return run_command("train", train_by, options)


def train_by(options: argparse.Namespace) -> str:
    return train(read_settings(TrainSettings, options.config, options.overrides))


def train(settings: TrainSettings) -> str:
    """Runs to the end, or goes on from the newest checkpoint of the same output and name."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # each line would come twice
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from separator.storage import Storage
    from separator.train.sound_lists import read_lists
    from separator.train.worker import run_worker

    read_lists(
        settings.data.lists, Storage(settings.storage)
    )  # a bad list is told before anything starts
    output = settings.output
    if "://" not in output:
        output = str(Path(output).resolve())
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS", "local"), log_to_driver=True)
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


if __name__ == "__main__":
    sys.exit(main())
