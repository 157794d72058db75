"""Separate waveforms: one spectrum per span, the network over its windows, one inverse per stem.

It knows arrays, rates and one device. The stems do not depend on how the work was cut: windows
carry all the context the network can see, and the inverse runs over the whole span.

Shapes: C channels, T samples, N frames, F bins, Q queries, D condition, P passes, S shifts.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from separator.audio.channels import ChannelPolicy, check_policy, choose_passes
from separator.audio.resample import resample
from separator.audio.spans import (
    Span,
    Window,
    check_rate,
    plan_spans,
    plan_windows,
)
from separator.errors import AudioError, NonFiniteAudio, RequestError
from separator.model.cuts import PIECES, Context, plan_cuts
from separator.model.forward import CompileMode, Forward, Precision
from separator.model.networks import Network
from separator.model.pieces import separate_pieces
from separator.model.spectrogram import compute_spectrum, invert_spectrum

SPAN_S = 122.88
MOST_CHANNELS = 64
# Embeddings have length 1. Far larger ones overflow inside the network, whatever the samples.
LARGEST_CONDITION = 1e6
LOUD = 1e6  # samples up to here are not to blame for an overflow


class Engine:
    """A network prepared for one device. Not for two threads at once.

    `context` is "exact", seconds (less is faster on short windows and no longer exact), or
    "pieces": each 2 s alone, see pieces.py.
    `memory_bytes` limits one forward; by default it is a share of the device's memory.
    """

    def __init__(
        self,
        net: Network,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        compile: CompileMode = "auto",
        channels: str = "linked",
        context: Context = "exact",
        memory_bytes: int | None = None,
    ) -> None:
        self.config = net.config
        self.policy: ChannelPolicy = check_policy(channels)
        self.forward = Forward(net, choose_device(device), precision, compile, memory_bytes)
        self.device, self.grid_frames = self.forward.device, self.forward.grid_frames
        self.is_in_pieces = context == PIECES
        cuts = plan_cuts(net.config, context)
        self.grid_s, self.context_s = cuts.grid_s, cuts.context_s
        self.context_frames = int(self.context_s * net.config.rate_hz / net.config.hop)
        self.last_gain = self.forward.net.last_gain

    def plan_spans(self, num_samples: int, rate_hz: int, span_s: float = SPAN_S) -> list[Span]:
        """List the spans of a track, on the network's grid and with its context."""
        return plan_spans(num_samples, rate_hz, span_s, self.context_s, self.grid_s)

    def separate(
        self, waveform_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span_s: float = SPAN_S
    ) -> Tensor:
        """Return stems (Q, C, T) on the CPU; `span_s` bounds memory beyond input and output."""
        self._check(waveform_CT, rate_hz, conditions_QD)
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
        self.forward.expect(num_samples / rate_hz * num_passes * len(conditions_QD))
        for span in spans:
            samples = waveform_CT[:, span.start : span.stop]
            for q, stem in enumerate(self.separate_span(samples, rate_hz, conditions_QD, span)):
                stems[q, :, span.core_start : span.core_stop] = stem
        return stems

    @torch.no_grad()  # as a decorator: a `with` around a yield would reach into the caller
    def separate_span(
        self, samples_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span: Span
    ) -> Iterator[Tensor]:
        """Yield the core (C, T) of each query's stem, from a span's samples with context."""
        self._check(samples_CT, rate_hz, conditions_QD)
        if samples_CT.shape[-1] != span.stop - span.start:
            raise AudioError(
                f"{samples_CT.shape[-1]} samples for {span}: {span.stop - span.start} are needed"
            )
        if span.core_start == span.core_stop:
            return
        waveform = resample(samples_CT.to(self.device).float(), rate_hz, self.config.rate_hz)
        if self.is_in_pieces:
            conditions_QD = conditions_QD.to(self.device).float()
            for inner in separate_pieces(self.forward, self.policy, waveform, conditions_QD):
                outer = resample(inner, self.config.rate_hz, rate_hz)
                yield check_stem(outer[:, span.core].cpu(), samples_CT)
            return
        spectrum = compute_spectrum(waveform, self.config.n_fft, self.config.hop)
        input_PNF, filtered_CNF = choose_passes(spectrum, self.policy)
        first, last = self._frames_to_keep(span, rate_hz, input_PNF.shape[1])
        filtered_CNF = filtered_CNF[:, first : min(last, input_PNF.shape[1])]
        num_inner = waveform.shape[-1] - first * self.config.hop
        if last < input_PNF.shape[1]:
            num_inner = (last - first - 1) * self.config.hop
        for gain_PNF in self._compute_gains(input_PNF, conditions_QD, first, last):
            gain_PNF = gain_PNF[:, : filtered_CNF.shape[1]]
            stem = F.pad(gain_PNF, (0, 1), value=self.last_gain) * filtered_CNF
            inner = invert_spectrum(stem, self.config.n_fft, self.config.hop, num_inner)
            outer = resample(inner, self.config.rate_hz, rate_hz)
            skipped = first * self.config.hop * rate_hz // self.config.rate_hz
            core = slice(span.core.start - skipped, span.core.stop - skipped)
            yield check_stem(outer[:, core].cpu(), samples_CT)

    def _frames_to_keep(self, span: Span, rate_hz: int, num_frames: int) -> tuple[int, int]:
        """Return the frames whose gains the core needs: its cells and one more at each side."""
        frame_s, grid = Fraction(self.config.hop, self.config.rate_hz), self.grid_frames
        first = int(Fraction(span.core.start, rate_hz) / frame_s) // grid - 1
        last = -(-int(Fraction(span.core.stop, rate_hz) / frame_s) // grid) + 1
        return max(0, first) * grid, min(last, -(-num_frames // grid)) * grid

    def _compute_gains(
        self, input_PNF: Tensor, conditions_QD: Tensor, first: int, last: int
    ) -> Iterator[Tensor]:
        """Yield the complex gain (P, N, F - 1) of frames `first..last` for each query."""
        shifts_QS = self.forward.net.compute_shifts(conditions_QD.to(self.device).float())
        x_PNF = self.forward.net.normalize(input_PNF.abs())
        num_frames = min(x_PNF.shape[1], last + self.context_frames)
        x_PNF = x_PNF[:, :num_frames]
        shortest = 2 * self.context_frames + self.grid_frames
        q = 0
        while q < len(shifts_QS):
            longest = max(shortest, self.forward.longest_window)
            windows = plan_windows(
                num_frames, first, last, longest, self.context_frames, self.grid_frames
            )
            batch = self.forward.choose_batch(windows[0].stop - windows[0].start)
            group = max(1, batch // (len(windows) * len(x_PNF)))
            try:
                gains = self._run_group(x_PNF, shifts_QS[q : q + group], windows, batch)
            except torch.OutOfMemoryError:
                self.forward.shrink(windows[0].stop - windows[0].start, batch, shortest)
                continue
            for gain in gains:
                yield torch.view_as_complex(gain)
            q += len(gains)

    def _run_group(
        self, x_PNF: Tensor, shifts_GS: Tensor, windows: list[Window], batch: int
    ) -> Tensor:
        """Compute gains (G, P, N, F - 1, 2) of a few queries: G x P x windows in batches."""
        first, last = windows[0].core_start, windows[-1].core_stop
        gains = x_PNF.new_empty(len(shifts_GS), len(x_PNF), last - first, x_PNF.shape[-1], 2)
        items = list(product(range(len(shifts_GS)), range(len(x_PNF)), windows))
        for at in range(0, len(items), batch):
            taken = items[at : at + batch]
            x = torch.stack([x_PNF[p, w.start : w.stop] for _, p, w in taken])
            out = self.forward(x, torch.stack([shifts_GS[g] for g, _, _ in taken]))
            for (g, p, w), gain in zip(taken, out, strict=True):
                core = gain[w.core_start - w.start : w.core_stop - w.start]
                gains[g, p, w.core_start - first : w.core_stop - first] = core
        return gains

    def _check(self, waveform_CT: Tensor, rate_hz: int, conditions_QD: Tensor) -> None:
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
    if len(waveform_CT) > MOST_CHANNELS:
        raise AudioError(
            f"waveform of shape {shape} looks transposed: (channels, samples) is needed, with at "
            f"most {MOST_CHANNELS} channels; give waveform.T"
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
    """Tell whether all are finite: the extremes are not if any is not, and are found faster."""
    return samples.numel() == 0 or all(math.isfinite(x) for x in samples.aminmax())


def check_stem(stem_CT: Tensor, samples_CT: Tensor) -> Tensor:
    """Return a stem whose samples are finite; else raise, for no NaN may pass as sound."""
    if is_finite(stem_CT):
        return stem_CT
    peak = samples_CT.abs().max().item()
    way_out = "try precision=fp32, or another checkpoint"
    if peak > LOUD:
        way_out = "scale them to a full scale of 1.0"
    raise NonFiniteAudio(
        f"the network's output is NaN or infinite, from samples of up to {peak:.3g}; {way_out}"
    )


def choose_device(device: str | torch.device) -> torch.device:
    """Resolve `auto` and check that the device exists."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise RequestError(f"device={device!r}: must be auto, cpu, cuda or cuda:N") from None
    if chosen.type not in ("cpu", "cuda"):
        raise RequestError(f"device={device!r}: must be auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"device={device!r}: no CUDA device is visible; use device=cpu")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise RequestError(f"device={device!r}: there are {torch.cuda.device_count()} CUDA devices")
    return chosen
