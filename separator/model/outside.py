"""Run a separator of another package as the engine runs our networks.

docs/models.md has an example. entry_points.py finds such packages.

Shapes: C channels, T samples, Q queries, D condition.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np
import torch
from torch import Tensor

from separator.audio.channels import check_policy
from separator.audio.resample import resample
from separator.audio.spans import GRID_HZ, Span
from separator.errors import CheckpointMismatch
from separator.model.device import choose_device, choose_precision
from separator.model.entry_points import OutsideModel, Package
from separator.model.track import SPAN_S, TrackSeparator, check_stem

NOT_EXACT = (
    "the model {name} is not exact: near the ends of spans its stem depends on where they are cut"
)


@dataclass(frozen=True)
class OutsideTexts:
    """The text encoder of a model of another package."""

    encoder_id: str
    model: OutsideModel

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Return conditions (Q, D) of texts."""
        found = self.model.encode_texts(texts)
        found = found.detach().cpu() if isinstance(found, Tensor) else found
        conditions_QD = np.asarray(found, np.float32)
        wanted = len(texts), self.model.condition_size
        if conditions_QD.shape != wanted:
            raise CheckpointMismatch(
                f"the model gave conditions of shape {conditions_QD.shape} for {len(texts)} texts: "
                f"{wanted} is needed"
            )
        return conditions_QD


@dataclass(frozen=True)
class OutsideConfig:
    rate_hz: int
    condition_size: int


class OutsideEngine(TrackSeparator):
    """A model of another package, run span by span.

    The model gets all channels, or with `mono` their mean; "linked" and "each" make no difference.
    If it is not exact, samples near the ends of spans depend on where spans are cut.
    """

    def __init__(
        self,
        package: Package,
        device: str | torch.device = "auto",
        precision: str = "auto",
        channels: str = "linked",
    ) -> None:
        self.device = choose_device(device)
        self.policy = check_policy(channels)
        self.precision = choose_precision(precision, self.device)  # pyright: ignore
        self.model = package.load(self.device, self.precision)
        self.config = OutsideConfig(self.model.rate_hz, self.model.condition_size)
        self.grid_s, self.context_s = find_cuts(self.model)

    def compute_stems(
        self, samples_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span: Span
    ) -> Iterator[Tensor]:
        """Yield the core (C, T) of each query's stem."""
        if self.policy == "mono":
            samples_CT = samples_CT.mean(0, keepdim=True)
        inner_CT = resample(samples_CT.to(self.device).float(), rate_hz, self.config.rate_hz)
        for condition_D in conditions_QD.to(self.device).float():
            stem_CT = self.model.separate(inner_CT.clone(), condition_D)
            if stem_CT.shape != inner_CT.shape:
                raise CheckpointMismatch(
                    f"the model gave a stem of shape {tuple(stem_CT.shape)} for samples of shape "
                    f"{tuple(inner_CT.shape)}: they must be equal"
                )
            outer_CT = resample(stem_CT.float(), self.config.rate_hz, rate_hz)
            yield check_stem(outer_CT[:, span.core].cpu(), samples_CT)


def find_cuts(model: OutsideModel) -> tuple[Fraction, Fraction]:
    """Return grid and context in seconds.

    The grid becomes a multiple of 0.04 s, so that it is whole samples at every rate of tracks; the
    context becomes a multiple of the grid.
    """
    given_s = Fraction(model.grid_s).limit_denominator(1_000_000)
    if given_s <= 0 or model.context_s < 0:
        raise CheckpointMismatch(
            f"grid_s={model.grid_s}, context_s={model.context_s}: a grid above 0 and a context of "
            "0 or more are needed"
        )
    grid_s = Fraction(given_s.numerator, gcd(given_s.denominator, GRID_HZ))
    if grid_s > max(SPAN_S, given_s):
        raise CheckpointMismatch(
            f"grid_s={model.grid_s}: only every {float(grid_s):g} s are whole samples at all rates "
            f"of tracks; give a multiple of {1 / GRID_HZ:g}, or a more exact hop / rate"
        )
    context_s = Fraction(model.context_s).limit_denominator(1_000_000)
    return grid_s, -(-context_s // grid_s) * grid_s
