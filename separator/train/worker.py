"""What every Ray Train worker does: examples from Ray tasks, steps, checkpoints to storage.

No Ray Data in here: its scheduler would run in this process and take the interpreter from the
steps (three times as long each, measured on 2 cores).

Shapes: B batch, T samples, D condition.
"""

import contextlib
import json
import math
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import ray.train.torch
import torch
from torch import Tensor

from separator.api import find_encoder
from separator.encoders.mini import pack_mini
from separator.machine import count_cpus
from separator.model.checkpoint import read_checkpoint, read_encoder_id, write_safetensors
from separator.model.memory import keep_pages
from separator.model.resunet import NetworkConfig, ResUNet
from separator.storage import Storage
from separator.train.examples import Examples
from separator.train.loop import State, make_state, run_steps
from separator.train.plot import draw_curve
from separator.train.recipe import TrainSettings
from separator.train.sound_lists import read_lists

STATE, MODEL, METRICS, CURVE = "state.pt", "model.safetensors", "metrics.jsonl", "loss.png"
LINE_EVERY_S = 15.0


class Feed:
    """A worker's batches on its device: made by tasks a few steps ahead, with their conditions."""

    def __init__(self, settings: TrainSettings, rate_hz: int, encoder: Any) -> None:
        storage = Storage(settings.storage)
        sources = read_lists(settings.data.lists, storage)
        self.settings = settings
        self.rate_hz = rate_hz
        self.encoder = encoder
        self.examples = Examples(sources, settings.data, rate_hz, settings.seed, storage)
        captions = sorted({caption for source in sources for caption in source.captions})
        self.rows = {caption: row for row, caption in enumerate(captions)}
        self.text_QD = torch.from_numpy(encoder.encode_texts(captions))
        self.num_skipped = 0

    def iterate(
        self, first_step: int, rank: int, world: int, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        batches = iterate_batches(self.examples, self.settings, first_step, rank, world)
        for step, batch in enumerate(batches, start=first_step):
            self.num_skipped += int(batch["num_skipped"].sum())
            condition_BD = self.choose_conditions(batch, step * world + rank).to(device)
            # Copied: what comes from the object store is read-only.
            mixture_BT, target_BT = (torch.tensor(batch[k]) for k in ("mixture", "target"))
            yield mixture_BT.to(device), target_BT.to(device), condition_BD

    def choose_conditions(self, batch: dict[str, np.ndarray], number: int) -> Tensor:
        """Condition of each example: its caption's, or its target's own sound now and then."""
        condition_BD = self.text_QD[[self.rows[caption] for caption in batch["caption"]]].clone()
        text_ratio = self.settings.optim.use_text_ratio
        if text_ratio < 1:
            rng = np.random.default_rng([self.settings.seed, number, 1])
            heard = rng.random(len(condition_BD)) >= text_ratio
            for i in np.flatnonzero(heard & ~batch["is_absent"]):
                target_1T = batch["target"][i][None]
                heard_D = self.encoder.encode_audio(target_1T, self.rate_hz)
                condition_BD[i] = torch.from_numpy(heard_D)
        return condition_BD


def run_worker(settings: TrainSettings) -> None:
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    if not settings.use_gpu:
        # Ray allows one thread per CPU it has promised, which is about its own tasks.
        torch.set_num_threads(max(1, count_cpus() // context.get_local_world_size()))
    torch.manual_seed(settings.seed)
    net = make_net(settings)
    state = make_worker_state(net, settings)
    history: list[dict[str, float]] = []
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            history = resume(state, Path(folder))
    encoder = find_encoder(Path(settings.encoder), read_encoder_id(Path(settings.encoder)))
    feed = Feed(settings, net.config.rate_hz, encoder)
    rescue_path = Path(tempfile.gettempdir()) / f"{settings.name}-loss-not-finite-{rank}.pt"
    with contextlib.nullcontext() if settings.use_gpu else keep_pages():
        train(state, feed, settings, history, rank, world, rescue_path)


def train(
    state: State,
    feed: Feed,
    settings: TrainSettings,
    history: list[dict[str, float]],
    rank: int,
    world: int,
    rescue_path: Path,
) -> None:
    started = last_line = time.monotonic()
    first_step = state.step
    device = next(state.net.parameters()).device
    batches = feed.iterate(first_step, rank, world, device)
    for figures in run_steps(state, batches, settings.optim, rescue_path):
        if world > 1:
            figures |= average_figures(figures, device)
        elapsed_s = time.monotonic() - started
        history.append(figures | {"skipped": feed.num_skipped, "seconds": round(elapsed_s, 2)})
        is_last = state.step == settings.optim.num_steps
        if rank == 0 and (time.monotonic() - last_line > LINE_EVERY_S or is_last):
            last_line = time.monotonic()
            print_line(history, settings.optim.num_steps, elapsed_s / (state.step - first_step))
        if is_last or state.step % settings.checkpoint_every == 0:
            report(state, feed.encoder, history, rank)


def average_figures(figures: dict[str, float], device: torch.device) -> dict[str, float]:
    """Means over all workers: each has seen its own part of the step's examples."""
    gain_db = figures["sdri_db"]
    has_gain = math.isfinite(gain_db)  # not where every target of a part is silent
    sums = [figures["loss"], 1.0, gain_db if has_gain else 0.0, float(has_gain)]
    sums_4 = torch.tensor(sums, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(sums_4)
    loss, num_workers, gain_db, num_gains = sums_4.tolist()
    mean_gain_db = gain_db / num_gains if num_gains else math.nan
    return {"loss": loss / num_workers, "sdri_db": mean_gain_db}


def make_net(settings: TrainSettings) -> ResUNet:
    chosen = settings.net
    if chosen.start_from is None:
        config = NetworkConfig(n_fft=chosen.n_fft, hop=chosen.hop, widths=tuple(chosen.widths))
        return ResUNet(config)
    saved = read_checkpoint(Path(chosen.start_from)).net
    net = ResUNet(saved.config)  # afresh: what was read is frozen
    net.load_state_dict(saved.state_dict())
    return net


def make_worker_state(net: ResUNet, settings: TrainSettings) -> State:
    device = ray.train.torch.get_device() if settings.use_gpu else torch.device("cpu")
    # Measured on 2 CPU cores: a step in channels_last takes two thirds of the time.
    net.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    call = ray.train.torch.prepare_model(net, move_to_device=False)
    return make_state(net, call, settings.optim)


def iterate_batches(
    examples: Examples, settings: TrainSettings, first_step: int, rank: int, world: int
) -> Iterator[dict[str, np.ndarray]]:
    """The batches of one worker, made by tasks a few steps ahead. All workers together see
    examples 0, 1, 2, ... in order, wherever they start and whoever dies."""
    size, num_steps = settings.optim.batch, settings.optim.num_steps
    shared = ray.put(examples)
    ahead: deque[ray.ObjectRef] = deque()
    for step in range(first_step, num_steps + 2 * settings.readers):
        if step < num_steps:
            first = (step * world + rank) * size
            ahead.append(make_batch.remote(shared, range(first, first + size)))
        if step >= first_step + 2 * settings.readers:
            yield ray.get(ahead.popleft())


@ray.remote(num_cpus=1, max_retries=2)
def make_batch(examples: Examples, numbers: range) -> dict[str, np.ndarray]:
    return examples.make_batch(numbers)


def report(state: State, encoder: Any, history: list[dict[str, float]], rank: int) -> None:
    """A checkpoint to go on from, the model to use, and the curve so far, as one folder."""
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
    """A file that `load_model` reads; a mini encoder travels inside."""
    write_safetensors(net, path, encoder.encoder_id, encoder=pack_mini(encoder))


def resume(state: State, folder: Path) -> list[dict[str, float]]:
    saved = torch.load(folder / STATE, weights_only=True, map_location="cpu")
    state.load_state_dict(saved)
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def print_line(history: list[dict[str, float]], num_steps: int, step_s: float) -> None:
    recent = history[-50:]
    loss = np.mean([row["loss"] for row in recent])
    gains_db = np.array([row["sdri_db"] for row in recent])
    gain_db = gains_db[np.isfinite(gains_db)].mean() if np.isfinite(gains_db).any() else np.nan
    step = int(history[-1]["step"])
    bar = "#" * (10 * step // num_steps)
    left_min = (num_steps - step) * step_s / 60
    print(
        f"[{bar:.<10}] {step:,}/{num_steps:,}  loss {loss:.4f}  SDRi {gain_db:5.2f} dB"
        f"  {step_s:.2f} s/step  {left_min:.0f} min left",
        flush=True,
    )
