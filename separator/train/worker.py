"""Train the network in one Ray Train worker: steps, checkpoints to storage, lines of progress.

Shapes: T samples.
"""

import contextlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import ray.train.torch
import torch
from torch import nn

from separator.errors import CheckpointMismatch
from separator.machine import count_cpus
from separator.model.memory import keep_pages
from separator.model.tensors import DAMAGED, read_tensors
from separator.storage import Storage
from separator.train.loop import State, compile_for_training, make_state, run_steps
from separator.train.outputs import STATE
from separator.train.plot import PlottedFigure, draw_curve
from separator.train.recipe import TrainSettings
from separator.train.start import load_start
from separator.train.task import Task

MODEL, METRICS, CURVE = "model.safetensors", "metrics.jsonl", "loss.png"
SETTINGS = "settings.json"
LINE_EVERY_S = 15.0
MAX_SHOWN = 3  # labels
SHARED_FIGURES = ("step", "grad_norm", "rate")  # the same in every worker

History = list[dict[str, float]]  # the figures of every step so far
Show = Callable[[str], None]


def run_worker(settings: TrainSettings, show: Show) -> None:
    """Train from the newest checkpoint, or from the start, to the last step.

    `show` gets a line of progress from the first worker every `LINE_EVERY_S`.
    """
    context = ray.train.get_context()
    if not settings.use_gpu:
        # Ray sets one thread per CPU that a worker reserves, which is far less than one.
        torch.set_num_threads(max(1, count_cpus() // context.get_local_world_size()))
    torch.manual_seed(settings.seed)
    storage = Storage(settings.storage)
    net, task = load_start(settings, storage)
    state = make_worker_state(net, task, settings)
    history: History = []
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            check_labels(task.labels, Path(folder))
            history = resume(state, Path(folder))
            changed = list_changed(settings, Path(folder) / SETTINGS)
        if context.get_world_rank() == 0:
            others = f", with another {', '.join(changed)}" if changed else ""
            show(f"going on from step {state.step:,}{others}")
    with contextlib.nullcontext() if settings.use_gpu else keep_pages():
        train(state, task, settings, history, show)


def train(state: State, task: Task, settings: TrainSettings, history: History, show: Show) -> None:
    """Run the steps that are left; write a checkpoint every `checkpoint_every` and at the end."""
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    rescue_path = Path(tempfile.gettempdir()) / f"{settings.name}-loss-not-finite-{rank}.pt"
    started = last_line = time.monotonic()
    first_step, num_steps = state.step, settings.optim.num_steps
    device = next(state.net.parameters()).device
    batches = task.iterate(first_step, rank, world, device)
    seeds = settings.seed, rank
    for figures in run_steps(state, batches, settings.optim, task.measure, seeds, rescue_path):
        if world > 1:
            figures |= average_figures(figures, device)
        elapsed_s = time.monotonic() - started
        history.append(figures | {"skipped": task.num_skipped, "seconds": round(elapsed_s, 2)})
        is_last = state.step == num_steps
        if rank == 0 and (time.monotonic() - last_line > LINE_EVERY_S or is_last):
            last_line = time.monotonic()
            step_s = elapsed_s / (state.step - first_step)
            show(describe_progress(history, task.figure, num_steps, step_s))
        if is_last or state.step % settings.checkpoint_every == 0:
            save_checkpoint(state, task, settings, history, rank)


def average_figures(figures: dict[str, float], device: torch.device) -> dict[str, float]:
    """Average figures over all workers, because each has seen only a part of the examples.

    NaN does not count, such as the SDRi of a worker whose targets are all silent.
    """
    keys = [key for key in figures if key not in SHARED_FIGURES]
    is_finite = [math.isfinite(figures[key]) for key in keys]
    values = [figures[key] if ok else 0.0 for key, ok in zip(keys, is_finite, strict=True)]
    sums_2K = torch.tensor([values, is_finite], dtype=torch.float64, device=device)
    torch.distributed.all_reduce(sums_2K)
    means_K = torch.where(sums_2K[1] > 0, sums_2K[0] / sums_2K[1], math.nan)
    return dict(zip(keys, means_K.tolist(), strict=True))


def make_worker_state(net: nn.Module, task: Task, settings: TrainSettings) -> State:
    """Put the network on this worker's device, wrapped in DDP if there are several workers."""
    device = ray.train.torch.get_device() if settings.use_gpu else torch.device("cpu")
    # Measured on 2 CPU cores: a step in channels_last takes two thirds of the time.
    net.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    call = compile_for_training(task.wrap(net)) if settings.optim.compile else task.wrap(net)
    call = ray.train.torch.prepare_model(call, move_to_device=False)
    return make_state(net, call, settings.optim)


def save_checkpoint(
    state: State, task: Task, settings: TrainSettings, history: History, rank: int
) -> None:
    """Report the newest figures to Ray Train; the first worker adds a folder of five files: the
    state to continue from, the model, the figures of every step, the loss curve, the settings."""
    if rank != 0:
        ray.train.report(history[-1])
        return
    with tempfile.TemporaryDirectory() as name:
        write_folder(Path(name), state, task, settings, history)
        ray.train.report(history[-1], checkpoint=ray.train.Checkpoint.from_directory(name))


def write_folder(
    folder: Path, state: State, task: Task, settings: TrainSettings, history: History
) -> None:
    """Write the files of a checkpoint."""
    torch.save(state.state_dict(), folder / STATE)
    task.export(state.export(), folder / MODEL)
    (folder / METRICS).write_text("".join(json.dumps(row) + "\n" for row in history))
    draw_curve(history, task.figure, folder / CURVE)
    (folder / SETTINGS).write_text(json.dumps(asdict(settings), indent=1) + "\n")


def resume(state: State, folder: Path) -> History:
    """Load the state of a checkpoint folder and return its figures."""
    try:
        saved = torch.load(folder / STATE, weights_only=True, map_location="cpu")
        history = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    except DAMAGED as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise CheckpointMismatch(
            f"the newest checkpoint of this output and name is damaged ({reason}); take another "
            f"name; a separator can start from {MODEL} of the checkpoint before: net.start_from"
        ) from None
    try:
        state.load_state_dict(saved)
    except (RuntimeError, ValueError):  # from torch: other sizes, names or optimizer groups
        raise CheckpointMismatch(
            "the newest checkpoint of this output and name holds another network; take another name"
        ) from None
    return history


def check_labels(labels: Sequence[str], folder: Path) -> None:
    """Refuse a detector's checkpoint that has other labels than the lists."""
    before = json.loads(read_tensors(folder / MODEL)[1].get("labels", "[]")) if labels else []
    if before and before != list(labels):
        gone, added = sorted(set(before) - set(labels)), sorted(set(labels) - set(before))
        raise CheckpointMismatch(
            "the newest checkpoint of this output and name has other labels than data.lists "
            f"(without {gone[:MAX_SHOWN]}, with {added[:MAX_SHOWN]}); take another name"
        )


def list_changed(settings: TrainSettings, path: Path) -> list[str]:
    """Name the settings that differ from those stored in a checkpoint; none if it stores none."""
    if not path.exists():
        return []
    before, now = flatten(json.loads(path.read_text())), flatten(asdict(settings))
    known = [key for key in now if key in before and not key.startswith("storage.")]
    return [key for key in known if now[key] != before[key]]


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give each value of a tree of settings its dotted key."""
    flat = {}
    for key, value in tree.items():
        inner = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return flat


def describe_progress(
    history: History, figure: PlottedFigure, num_steps: int, step_s: float
) -> str:
    """Describe the progress in one line, with means over the last 50 steps."""
    recent = history[-50:]
    loss = np.mean([row["loss"] for row in recent])
    values = np.array([row[figure.key] for row in recent])
    value = values[np.isfinite(values)].mean() if np.isfinite(values).any() else np.nan
    step = int(history[-1]["step"])
    bar = "#" * (10 * step // num_steps)
    left_min = (num_steps - step) * step_s / 60
    shown = f"{figure.label} {value:5.2f} {figure.unit}".rstrip()
    return (
        f"[{bar:.<10}] {step:,}/{num_steps:,}  loss {loss:.4f}  {shown}"
        f"  {step_s:.2f} s/step  {left_min:.0f} min left"
    )
