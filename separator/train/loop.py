"""Run training steps, and hold the state that is saved and resumed. No Ray in this module.

Shapes: B batch, T samples, D condition.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from separator.errors import LossNotFinite
from separator.model.asp_unet import AspUnet
from separator.model.networks import Network
from separator.model.spectrogram import compute_gain, compute_whole_spectrum, invert_spectrum
from separator.train.recipe import OptimSettings

# The log loss is flat below these energies of the error, relative to the mixture's energy.
ENOUGH_SOUND, ENOUGH_SILENCE = 1e-3, 1e-2

CHOSEN = ("initial_lr", "weight_decay", "amsgrad")  # may change when a training continues
HIGHEST = "max_exp_avg_sq"  # state that AdamW keeps only with amsgrad

MAX_LOST = 10  # steps in a row without a finite gradient that end the training

Batch = dict[str, Tensor]
log = logging.getLogger(__name__)


@dataclass
class State:
    """Everything that changes in training.

    `call` is what a step calls: `net`, a module around it, or the DDP of several workers.
    """

    net: nn.Module
    call: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    average: AveragedModel | None
    step: int = 0

    def export(self) -> nn.Module:
        """Return the network to use: the moving average if there is one."""
        return self.net if self.average is None else self.average.module  # pyright: ignore

    def state_dict(self) -> dict[str, Any]:
        """Collect the state of all parts for a checkpoint."""
        average = self.average.state_dict() if self.average is not None else None
        parts = {"net": self.net, "optimizer": self.optimizer, "schedule": self.schedule}
        return {name: part.state_dict() for name, part in parts.items()} | {
            "average": average,
            "step": self.step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` collected, but not the settings of the optimizer."""
        self.net.load_state_dict(state["net"])
        (now,) = self.optimizer.param_groups
        chosen = {name: now[name] for name in CHOSEN}
        self.optimizer.load_state_dict(state["optimizer"])
        (group,) = self.optimizer.param_groups
        for moments in self.optimizer.state.values():
            if not chosen["amsgrad"]:
                moments.pop(HIGHEST, None)
            elif HIGHEST not in moments:
                moments[HIGHEST] = moments["exp_avg_sq"].clone()
        base_rates = self.schedule.base_lrs
        self.schedule.load_state_dict({**state["schedule"], "base_lrs": base_rates})
        factor = self.schedule.lr_lambdas[0](self.schedule.last_epoch)
        group |= chosen | {"lr": base_rates[0] * factor}
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        self.step = state["step"]


# The loss of a batch, and figures to show.
Measure = Callable[[State, Batch], tuple[Tensor, dict[str, float]]]


def make_state(net: nn.Module, call: nn.Module, settings: OptimSettings) -> State:
    """Set up the optimizer, the schedule of its rate, and the moving average."""
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=settings.rate, weight_decay=settings.weight_decay, amsgrad=settings.amsgrad
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: scale_rate(settings, s))
    average = None
    if settings.ema > 0:
        keep = get_ema_multi_avg_fn(settings.ema)
        average = AveragedModel(net, multi_avg_fn=keep, use_buffers=True)
    return State(net, call, optimizer, schedule, average)


def compile_for_training(net: nn.Module) -> nn.Module:
    """Compile a network for batches of one size. It shares the parameters of the one given."""
    return torch.compile(net, dynamic=False)  # pyright: ignore[reportReturnType]


def scale_rate(settings: OptimSettings, step: int) -> float:
    """Compute the factor of the rate: the one that `factors` gives this step, or a linear warm-up,
    then x 0.9 at every 20,000th step or, with `decay`, a cosine to zero."""
    if settings.factors:
        return next((f for until, f in settings.factors if step < until), settings.factors[-1][1])
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    if not settings.decay:
        return warm if step < settings.warmup_steps else 0.9 ** (step // 20_000)
    rest = max(1, settings.num_steps - settings.warmup_steps)
    done = min(1.0, max(0, step - settings.warmup_steps) / rest)
    return warm * 0.5 * (1 + math.cos(math.pi * done))


def separate(
    call: nn.Module, net: Network, mixture_BT: Tensor, condition_BD: Tensor, autocast: bool
) -> Tensor:
    """Separate in one pass, as the plain networks do; with `autocast` the network runs in bf16."""
    n_fft, hop = net.config.n_fft, net.config.hop
    spectrum = compute_whole_spectrum(mixture_BT, n_fft, hop)
    with narrow(mixture_BT.device, autocast):
        out = call(spectrum.abs(), condition_BD)
    out = out.float()
    gain = out if isinstance(net, AspUnet) else torch.complex(*compute_gain(*out.unbind(1)))
    return invert_spectrum(spectrum * gain, n_fft, hop, mixture_BT.shape[-1])


def narrow(device: torch.device, autocast: bool) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which matrix products run in bf16, if `autocast` is set."""
    return torch.autocast(device.type, torch.bfloat16) if autocast else contextlib.nullcontext()


def measure_separation(
    settings: OptimSettings, state: State, batch: Batch
) -> tuple[Tensor, dict[str, float]]:
    """Separate a batch of mixture, target and condition; return the loss and the SDRi."""
    mixture_BT, target_BT = batch["mixture"], batch["target"]
    net: Any = state.net
    out_BT = separate(state.call, net, mixture_BT, batch["condition"], settings.autocast)
    loss = measure_loss(settings.loss, mixture_BT, target_BT, out_BT)
    with torch.no_grad():
        return loss, {"sdri_db": mean_gain_db(mixture_BT, target_BT, out_BT)}


def run_steps(
    state: State,
    batches: Iterator[Batch],
    settings: OptimSettings,
    measure: Measure,
    seeds: tuple[int, int],
    rescue_path: Path | None = None,
) -> Iterator[dict[str, float]]:
    """Train on batches and yield the figures of every step.

    `seeds`: the training's seed, and the number of this worker. Torch's random numbers in a step
    depend only on them and on the step, so a continued training draws as an undisturbed one does.
    A loss that is not finite raises LossNotFinite; its batch is saved to `rescue_path`. A gradient
    that is not finite leaves the weights as they are; MAX_LOST in a row raise LossNotFinite too.
    """
    state.call.train()
    lost_in_a_row = 0
    for batch in batches:
        if state.step >= settings.num_steps:
            return
        seed_draws(*seeds, state.step)
        loss, figures = measure(state, batch)
        if not torch.isfinite(loss):
            raise make_loss_error(state.step, float(loss.detach()), batch, rescue_path)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        limit = settings.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(state.net.parameters(), limit)
        if torch.isfinite(norm):  # else every weight would become a NaN
            state.optimizer.step()
            lost_in_a_row = 0
        else:
            log.warning("step %d: a gradient is not finite; the weights stay", state.step)
            lost_in_a_row += 1
        if lost_in_a_row == MAX_LOST:
            raise make_loss_error(state.step, float(norm), batch, rescue_path, "gradient")
        state.schedule.step()
        if state.average is not None:
            state.average.update_parameters(state.net)
        state.step += 1
        rate = state.optimizer.param_groups[0]["lr"]
        yield (
            {"step": state.step, "loss": float(loss.detach())}
            | figures
            | {"grad_norm": float(norm), "rate": rate}
        )


def seed_draws(*numbers: int) -> None:
    """Seed torch's random numbers; each combination of numbers gives another sequence."""
    (seed,) = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    torch.manual_seed(int(seed))


def make_loss_error(
    step: int,
    value: float,
    batch: dict[str, Tensor],
    rescue_path: Path | None,
    what: str = "loss",
) -> LossNotFinite:
    """Save the batch that broke the loss or the gradient, and say where it is."""
    where = ""
    if rescue_path is not None:
        torch.save({name: tensor.cpu() for name, tensor in batch.items()}, rescue_path)
        where = f"; its batch is in {rescue_path}"
    return LossNotFinite(f"step {step}: the {what} is {value}{where}")


def measure_loss(kind: str, mixture_BT: Tensor, target_BT: Tensor, out_BT: Tensor) -> Tensor:
    """Compute the loss of a kind: `l1` (AudioSep's), or `log`, the error in dB under the mixture.

    `log` is the unit of SDR: a quiet example weighs as much as a loud one. It is flat below -30 dB,
    so that nearly perfect examples do not dominate. For a silent target it is flat below -20 dB:
    without that floor the network learns to answer every doubtful query with silence.
    """
    if kind == "l1":
        return (out_BT - target_BT).abs().mean()
    error_B = (out_BT - target_BT).square().mean(-1)
    enough_B = torch.where(target_BT.any(-1), ENOUGH_SOUND, ENOUGH_SILENCE)
    return 10 * torch.log10(error_B / (mixture_BT.square().mean(-1) + 1e-9) + enough_B).mean()


def mean_gain_db(mixture_BT: Tensor, target_BT: Tensor, out_BT: Tensor) -> float:
    """Average the SDR improvement over examples with a sounding target; NaN if there is none."""
    sounding = target_BT.square().mean(-1) > 1e-8
    before = (mixture_BT - target_BT).square().sum(-1)
    after = (out_BT - target_BT).square().sum(-1)
    gains = 10 * torch.log10((before + 1e-9) / (after + 1e-9))
    return float(gains[sounding].mean()) if sounding.any() else float(np.nan)
