"""Train the network in one Ray Train worker: steps, checkpoints to storage, lines of progress.

Shapes: T samples.
"""

import contextlib
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import ray.train.torch
import torch

from separator.encoders.mini import pack_mini
from separator.machine import count_cpus
from separator.model.checkpoint import write_safetensors
from separator.model.memory import keep_pages
from separator.model.resunet import ResUNet
from separator.storage import Storage
from separator.train.feed import Feed
from separator.train.loop import State, make_state, run_steps
from separator.train.plot import draw_curve
from separator.train.recipe import TrainSettings
from separator.train.start import load_encoder, make_net

STATE, MODEL, METRICS, CURVE = "state.pt", "model.safetensors", "metrics.jsonl", "loss.png"
LINE_EVERY_S = 15.0

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
    net = make_net(settings.net, storage)
    state = make_worker_state(net, settings)
    history: History = []
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            history = resume(state, Path(folder))
        if context.get_world_rank() == 0:
            show(f"going on from step {state.step:,}")
    feed = Feed(settings, net.config.rate_hz, load_encoder(settings.encoder, storage))
    with contextlib.nullcontext() if settings.use_gpu else keep_pages():
        train(state, feed, settings, history, show)


def train(state: State, feed: Feed, settings: TrainSettings, history: History, show: Show) -> None:
    """Run the steps that are left; write a checkpoint every `checkpoint_every` and at the end."""
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    rescue_path = Path(tempfile.gettempdir()) / f"{settings.name}-loss-not-finite-{rank}.pt"
    started = last_line = time.monotonic()
    first_step, num_steps = state.step, settings.optim.num_steps
    device = next(state.net.parameters()).device
    batches = feed.iterate(first_step, rank, world, device)
    for figures in run_steps(state, batches, settings.optim, rescue_path):
        if world > 1:
            figures |= average_figures(figures, device)
        elapsed_s = time.monotonic() - started
        history.append(figures | {"skipped": feed.num_skipped, "seconds": round(elapsed_s, 2)})
        is_last = state.step == num_steps
        if rank == 0 and (time.monotonic() - last_line > LINE_EVERY_S or is_last):
            last_line = time.monotonic()
            show(describe_progress(history, num_steps, elapsed_s / (state.step - first_step)))
        if is_last or state.step % settings.checkpoint_every == 0:
            save_checkpoint(state, feed.encoder, history, rank)


def average_figures(figures: dict[str, float], device: torch.device) -> dict[str, float]:
    """Average loss and SDRi over all workers, each of which has seen a part of the examples."""
    gain_db = figures["sdri_db"]
    has_gain = math.isfinite(gain_db)  # not where every target of a part is silent
    sums = [figures["loss"], 1.0, gain_db if has_gain else 0.0, float(has_gain)]
    sums_4 = torch.tensor(sums, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(sums_4)
    loss, num_workers, gain_db, num_gains = sums_4.tolist()
    mean_gain_db = gain_db / num_gains if num_gains else math.nan
    return {"loss": loss / num_workers, "sdri_db": mean_gain_db}


def make_worker_state(net: ResUNet, settings: TrainSettings) -> State:
    """Put the network on this worker's device, wrapped in DDP where there are several workers."""
    device = ray.train.torch.get_device() if settings.use_gpu else torch.device("cpu")
    # Measured on 2 CPU cores: a step in channels_last takes two thirds of the time.
    net.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    call = ray.train.torch.prepare_model(net, move_to_device=False)
    return make_state(net, call, settings.optim)


def save_checkpoint(state: State, encoder: Any, history: History, rank: int) -> None:
    """Report the newest figures to Ray Train; the first worker adds a folder of four files:
    the state to go on from, the model to use, the figures of every step, the loss curve."""
    if rank != 0:
        ray.train.report(history[-1])
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(state.state_dict(), folder / STATE)
        export(state.export(), encoder, folder / MODEL)
        (folder / METRICS).write_text("".join(json.dumps(row) + "\n" for row in history))
        draw_curve(history, folder / CURVE)
        ray.train.report(history[-1], checkpoint=ray.train.Checkpoint.from_directory(folder))


def export(net: ResUNet, encoder: Any, path: Path) -> None:
    """Write a file for `load_model`; a mini encoder is stored in it."""
    write_safetensors(net, path, encoder.encoder_id, encoder=pack_mini(encoder))


def resume(state: State, folder: Path) -> History:
    """Load the state of a checkpoint folder and return its figures."""
    saved = torch.load(folder / STATE, weights_only=True, map_location="cpu")
    state.load_state_dict(saved)
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def describe_progress(history: History, num_steps: int, step_s: float) -> str:
    """Say in one line how far the training is, with means over the last 50 steps."""
    recent = history[-50:]
    loss = np.mean([row["loss"] for row in recent])
    gains_db = np.array([row["sdri_db"] for row in recent])
    gain_db = gains_db[np.isfinite(gains_db)].mean() if np.isfinite(gains_db).any() else np.nan
    step = int(history[-1]["step"])
    bar = "#" * (10 * step // num_steps)
    left_min = (num_steps - step) * step_s / 60
    return (
        f"[{bar:.<10}] {step:,}/{num_steps:,}  loss {loss:.4f}  SDRi {gain_db:5.2f} dB"
        f"  {step_s:.2f} s/step  {left_min:.0f} min left"
    )
