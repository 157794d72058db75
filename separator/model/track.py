"""Separate whole tracks span by span, and check input and output.

`TrackSeparator` is the part of an engine that does not depend on the network. Our engine
(engine.py) and the one for models of other packages (outside.py) implement `compute_stems`.

Shapes: C channels, T samples, Q queries, D condition.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from separator.audio.channels import ChannelPolicy
from separator.audio.level import LOUDEST
from separator.audio.resample import resample
from separator.audio.spans import Span, check_rate, plan_spans
from separator.errors import AudioError, NonFiniteAudio, RequestError

SPAN_S = 122.88
MAX_CHANNELS = 64
# Embeddings have length 1. Far larger ones overflow inside the network, whatever the samples.
LARGEST_CONDITION = 1e6


class TrackSeparator(ABC):
    """The interface of an engine, as the API and the job use it."""

    config: Any  # has rate_hz and condition_size
    policy: ChannelPolicy
    device: torch.device
    precision: str  # fp32 or bf16
    grid_s: Fraction  # spans start on multiples of this
    context_s: Fraction  # spans carry this much sound on either side

    @abstractmethod
    def compute_stems(
        self, samples_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span: Span
    ) -> Iterator[Tensor]:
        """Yield the stems of `separate_span`, whose arguments have been checked."""

    @torch.no_grad()  # as a decorator: a `with` around a yield would also act on the caller
    def separate_span(
        self, samples_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span: Span
    ) -> Iterator[Tensor]:
        """Yield the core (C, T) of each query's stem, from a span's samples with context."""
        self.check(samples_CT, rate_hz, conditions_QD)
        if samples_CT.shape[-1] != span.stop - span.start:
            raise AudioError(
                f"{samples_CT.shape[-1]} samples for {span}: {span.stop - span.start} are needed"
            )
        if span.core_start < span.core_stop:
            yield from self.compute_stems(samples_CT, rate_hz, conditions_QD, span)

    def announce(self, seconds: float) -> None:  # noqa: B027 # most engines need not know
        """Announce work in seconds of sound x queries x passes."""

    def plan_spans(self, num_samples: int, rate_hz: int, span_s: float = SPAN_S) -> list[Span]:
        """List the spans of a track, on the network's grid and with its context."""
        return plan_spans(num_samples, rate_hz, span_s, self.context_s, self.grid_s)

    def separate(
        self, waveform_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span_s: float = SPAN_S
    ) -> Tensor:
        """Return stems (Q, C, T) on the CPU; `span_s` bounds memory beyond input and output."""
        self.check(waveform_CT, rate_hz, conditions_QD)
        num_channels, num_samples = waveform_CT.shape
        if (self.grid_s * rate_hz).denominator != 1:
            # The grid is no whole number of samples: resample the whole track first.
            inner = resample(waveform_CT.float().cpu(), rate_hz, self.config.rate_hz)
            stems = self.separate(inner, self.config.rate_hz, conditions_QD, span_s)
            stems = resample(stems, self.config.rate_hz, rate_hz)[..., :num_samples]
            return check_stem(stems, waveform_CT)
        num_out = 1 if self.policy == "mono" else num_channels
        stems = torch.empty(len(conditions_QD), num_out, num_samples)
        spans = self.plan_spans(num_samples, rate_hz, span_s)
        num_passes = num_channels if self.policy == "each" else 1
        self.announce(num_samples / rate_hz * num_passes * len(conditions_QD))
        for span in spans:
            samples = waveform_CT[:, span.start : span.stop]
            for q, stem in enumerate(self.separate_span(samples, rate_hz, conditions_QD, span)):
                stems[q, :, span.core_start : span.core_stop] = stem
        return stems

    def check(self, waveform_CT: Tensor, rate_hz: int, conditions_QD: Tensor) -> None:
        """Raise AudioError or RequestError for input that cannot be separated."""
        check_rate(rate_hz)
        check_samples(waveform_CT)
        size = self.config.condition_size
        if conditions_QD.ndim != 2 or len(conditions_QD) == 0 or conditions_QD.shape[1] != size:
            raise RequestError(
                f"conditions of shape {tuple(conditions_QD.shape)}: (queries, {size}) is needed"
            )
        if conditions_QD.is_complex():
            raise RequestError(f"conditions of {conditions_QD.dtype}: real numbers are needed")
        largest = conditions_QD.float().abs().max().item()
        if not largest <= LARGEST_CONDITION:
            raise RequestError(
                f"conditions reach {largest:.3g}: embeddings have length 1; "
                "give them as the encoder makes them"
            )


def check_samples(waveform_CT: Tensor) -> None:
    """Raise AudioError unless these are finite samples of a plausible number of channels."""
    shape = tuple(waveform_CT.shape)
    if waveform_CT.ndim != 2 or len(waveform_CT) == 0:
        raise AudioError(
            f"waveform of shape {shape}: (channels, samples) is needed; "
            "for one channel give waveform[None]"
        )
    if len(waveform_CT) > MAX_CHANNELS:
        raise AudioError(
            f"waveform of shape {shape} looks transposed: (channels, samples) is needed, with at "
            f"most {MAX_CHANNELS} channels; give waveform.T"
        )
    if waveform_CT.is_complex():
        raise AudioError(f"waveform of {waveform_CT.dtype}: samples are real; give waveform.real")
    if not waveform_CT.is_floating_point():
        raise AudioError(
            f"waveform of {waveform_CT.dtype}: floating point is needed; "
            "divide 16-bit integers by 32768"
        )
    samples_CT = waveform_CT.float()  # what the network gets: large float64 values become infinite
    if not is_finite(samples_CT):
        at = tuple((~torch.isfinite(samples_CT)).nonzero()[0].tolist())
        value = waveform_CT[at].item()
        what = ", too large for float32" if math.isfinite(value) else ""
        raise NonFiniteAudio(f"waveform holds {value}{what} at {at}: full scale is 1.0")


def is_finite(samples: Tensor) -> bool:
    """Tell whether all samples are finite; it is enough, and faster, to test the extremes."""
    return samples.numel() == 0 or all(math.isfinite(x) for x in samples.aminmax())


def check_stem(stem_CT: Tensor, samples_CT: Tensor) -> Tensor:
    """Return the stem; raise NonFiniteAudio if any of its samples is NaN or infinite."""
    if is_finite(stem_CT):
        return stem_CT
    peak = samples_CT.abs().max().item()
    way_out = "try precision=fp32, or another checkpoint"
    if peak > LOUDEST:  # smaller samples do not cause an overflow
        way_out = "scale them to a full scale of 1.0"
    raise NonFiniteAudio(
        f"the network's output is NaN or infinite, from samples of up to {peak:.3g}; {way_out}"
    )
