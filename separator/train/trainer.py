"""Start Ray Train on the Ray that this process has joined, and wait for the trained model.

Ray Train itself prints nothing on the console: its log goes to files of the Ray session, and the
workers' lines of progress come through a queue instead of Ray's forwarded output.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayTaskError
from ray.train import (
    CheckpointConfig,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
)
from ray.train.torch import TorchTrainer
from ray.util.queue import Queue

from separator.errors import CheckpointMismatch, SeparatorError
from separator.run.run import run_in_thread
from separator.storage import parse_uri
from separator.storage.arrow import export_checksums, open_arrow
from separator.train.gpus import check_gpus
from separator.train.outputs import is_on_s3
from separator.train.recipe import TrainSettings
from separator.train.worker import Show, run_worker


def run_training(settings: TrainSettings, show: Show) -> str:
    """Train to the last step and return the folder of the newest checkpoint.

    A run of the same output and name continues from its newest checkpoint. `show` gets a line of
    progress now and then, in a thread of its own. Ray must be initialized.
    """
    logging.getLogger("ray.train").setLevel(logging.ERROR)  # in this process
    if settings.use_gpu:
        check_gpus(f"use_gpu=true, workers={settings.workers}", settings.workers, show)
    failures: list[SeparatorError] = []
    try:
        with forward_lines(show, failures) as lines:
            # In another thread Ray Train leaves the handlers of signals as they are.
            result = run_in_thread(make_trainer(settings, lines).fit).get()
    except TrainingFailedError:
        if failures:
            raise failures[-1] from None
        raise
    if failures and isinstance(failures[-1], CheckpointMismatch):
        raise failures[-1]
    assert result.checkpoint is not None
    # A file system of Arrow has no scheme in its paths.
    return f"{'s3://' if is_on_s3(settings.output) else ''}{result.checkpoint.path}"


def make_trainer(settings: TrainSettings, lines: Queue) -> TorchTrainer:
    """Configure Ray Train for the recipe: workers, restarts, checkpoints, a quiet log."""
    if is_on_s3(settings.output):
        filesystem, path = open_arrow(settings.storage, settings.output)
    else:
        filesystem, path = None, str(parse_uri(settings.output).path.resolve())
    return TorchTrainer(
        lambda: run_reporting(settings, lines),
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.use_gpu,
            # Next to nothing: workers that reserve every CPU would leave none to their readers.
            resources_per_worker={"CPU": 0.01} | ({"GPU": 1} if settings.use_gpu else {}),
        ),
        run_config=RunConfig(
            name=settings.name,
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=settings.keep),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def run_reporting(settings: TrainSettings, lines: Queue) -> None:
    """Run one worker; send its lines and the failure that ends it to the driver."""
    try:
        if is_on_s3(settings.output):
            export_checksums(settings.storage)
        run_worker(settings, lines.put)
    except CheckpointMismatch as error:  # each worker raises it before its first step, at each try
        lines.put(error)
    except SeparatorError as error:
        lines.put(cause := find_cause(error))
        raise cause from None


def find_cause(error: SeparatorError) -> SeparatorError:
    """Return the error that a reader's task raised: Ray's wrapper cannot go through a queue."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return cause if isinstance(cause, SeparatorError) else error


@contextmanager
def forward_lines(show: Show, failures: list[SeparatorError]) -> Iterator[Queue]:
    """Pass the workers' lines to `show` and collect their failures while the block runs."""
    lines = Queue(actor_options={"num_cpus": 0})

    def forward() -> None:
        while (line := lines.get()) is not None:
            failures.append(line) if isinstance(line, SeparatorError) else show(line)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        lines.put(None)
        thread.join()
        lines.shutdown()
