"""Separate waveforms: one spectrum per span, the network over its windows, one inverse per stem.

The engine handles arrays and rates, on one device. With exact context, stems do not depend on how
the work was cut: windows carry all the context that the network can see, and the inverse covers
the span's core and a grid cell on either side.

Shapes: C channels, T samples, N frames, F bins, Q queries, D condition, P passes, S shifts.
"""

import logging
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from threading import Lock

import torch
import torch.nn.functional as F
from torch import Tensor

from separator.audio.channels import check_policy, choose_passes
from separator.audio.exact import computing
from separator.audio.resample import resample
from separator.audio.spans import Span, Window, plan_windows
from separator.model.cuts import PIECES, Context, plan_cuts
from separator.model.device import Precision, choose_device
from separator.model.forward import CompileMode, Forward
from separator.model.networks import Network, shift_each
from separator.model.pieces import separate_pieces
from separator.model.sharing import SharedForward
from separator.model.spectrogram import compute_whole_spectrum, invert_spectrum
from separator.model.track import TrackSeparator, check_stem
from separator.model.transfer import fetch_results, to_device

log = logging.getLogger(__name__)


class Engine(TrackSeparator):
    """A network prepared for one device, for one thread at a time unless `is_shared`.

    `context` is "exact", seconds (fewer are faster on short windows but not exact), or
    "pieces": each 2 s alone, see pieces.py.
    `memory_bytes` limits one forward; by default it is a share of the device's memory.
    `is_shared`: several threads may separate at once, see sharing.py.
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
        is_shared: bool = False,
    ) -> None:
        self.config = net.config
        self.policy = check_policy(channels)
        make = SharedForward if is_shared else Forward
        self.net = net
        self.forward = make(net, choose_device(device), precision, compile, memory_bytes)
        self.in_fp32: Forward | None = None  # for sounds that overflow fp16, made when needed
        self.lock = Lock()
        self.device, self.precision = self.forward.device, self.forward.precision
        self.grid_frames = self.forward.grid_frames
        self.is_in_pieces = context == PIECES
        cuts = plan_cuts(net.config, context)
        self.grid_s, self.context_s = cuts.grid_s, cuts.context_s
        self.context_frames = int(self.context_s * net.config.rate_hz / net.config.hop)
        self.last_gain = self.forward.net.last_gain

    def announce(self, seconds: float) -> None:
        """Announce work in seconds of sound x queries x passes: the network is compiled if that
        pays."""
        self.forward.expect(seconds)

    def compute_stems(
        self, samples_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span: Span
    ) -> Iterator[Tensor]:
        """Yield the core (C, T) of each query's stem."""
        if not samples_CT.any():  # any gain of silence is silence
            num_out = 1 if self.policy == "mono" else len(samples_CT)
            for _ in conditions_QD:
                yield torch.zeros(num_out, span.core_stop - span.core_start)
            return
        waveform = to_device(samples_CT.float(), self.device)
        waveform = resample(waveform, rate_hz, self.config.rate_hz)
        separate = self._separate_pieces if self.is_in_pieces else self._separate_windows
        for stem_CT in fetch_results(
            separate(waveform, rate_hz, conditions_QD.to(self.device).float(), span)
        ):
            yield check_stem(stem_CT, samples_CT)

    def _separate_pieces(
        self, waveform_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span: Span
    ) -> Iterator[Tensor]:
        """Yield what `_separate_windows` yields, with seams between pieces."""
        for inner in separate_pieces(self.forward, self.policy, waveform_CT, conditions_QD):
            yield resample(inner, self.config.rate_hz, rate_hz)[:, span.core]

    def _separate_windows(
        self, waveform_CT: Tensor, rate_hz: int, conditions_QD: Tensor, span: Span
    ) -> Iterator[Tensor]:
        """Yield the core (C, T) of each query's stem at the track's rate; `waveform_CT` is at the
        network's rate."""
        spectrum = compute_whole_spectrum(waveform_CT, self.config.n_fft, self.config.hop)
        input_PNF, filtered_CNF = choose_passes(spectrum, self.policy)
        first, last = self._frames_to_keep(span, rate_hz, input_PNF.shape[1])
        filtered_CNF = filtered_CNF[:, first : min(last, input_PNF.shape[1])]
        num_inner = waveform_CT.shape[-1] - first * self.config.hop
        if last < input_PNF.shape[1]:
            num_inner = (last - first - 1) * self.config.hop
        for gain_PNF in self._compute_gains(input_PNF, conditions_QD, first, last):
            gain_PNF = gain_PNF[:, : filtered_CNF.shape[1]]
            stem = F.pad(gain_PNF, (0, 1), value=self.last_gain) * filtered_CNF
            inner = invert_spectrum(stem, self.config.n_fft, self.config.hop, num_inner)
            outer = resample(inner, self.config.rate_hz, rate_hz)
            skipped = first * self.config.hop * rate_hz // self.config.rate_hz
            core = slice(span.core.start - skipped, span.core.stop - skipped)
            yield outer[:, core]

    def _frames_to_keep(self, span: Span, rate_hz: int, num_frames: int) -> tuple[int, int]:
        """Return the frames whose gains the core needs: its grid cells and one more per side."""
        frame_s, grid = Fraction(self.config.hop, self.config.rate_hz), self.grid_frames
        first = int(Fraction(span.core.start, rate_hz) / frame_s) // grid - 1
        last = -(-int(Fraction(span.core.stop, rate_hz) / frame_s) // grid) + 1
        return max(0, first) * grid, min(last, -(-num_frames // grid)) * grid

    def _compute_gains(
        self, input_PNF: Tensor, conditions_QD: Tensor, first: int, last: int
    ) -> Iterator[Tensor]:
        """Yield the complex gain (P, N, F - 1) of frames `first..last` for each query."""
        with computing(self.device):
            shifts_QS = shift_each(self.forward.net, conditions_QD)
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
                shifts_GS = shifts_QS[q : q + group]
                gains = self._run_group(self.forward, x_PNF, shifts_GS, windows, batch)
                if self.forward.may_overflow:
                    for g in find_overflows(gains):
                        one_S = shifts_GS[g : g + 1]
                        again = self._run_group(self._fold_in_fp32(), x_PNF, one_S, windows, batch)
                        gains[g] = again[0]
            except torch.OutOfMemoryError:
                self.forward.shrink(windows[0].stop - windows[0].start, batch, shortest)
                continue
            for gain in gains:
                yield torch.view_as_complex(gain)
            q += len(gains)

    def _fold_in_fp32(self) -> Forward:
        """Fold the network in fp32, once, for queries that overflow. All other queries stay in
        fp16, so that no stem depends on which other queries were separated."""
        with self.lock:
            if self.in_fp32 is None:
                log.warning("fp16 is too narrow for some of these sounds: those again in fp32")
                self.in_fp32 = Forward(self.net, self.device, "fp32", "off", None)
            return self.in_fp32

    def _run_group(
        self,
        forward: Forward,
        x_PNF: Tensor,
        shifts_GS: Tensor,
        windows: list[Window],
        batch: int,
    ) -> Tensor:
        """Compute gains (G, P, N, F - 1, 2) of a few queries: G x P x windows in batches."""
        first, last = windows[0].core_start, windows[-1].core_stop
        gains = x_PNF.new_empty(len(shifts_GS), len(x_PNF), last - first, x_PNF.shape[-1], 2)
        items = list(product(range(len(shifts_GS)), range(len(x_PNF)), windows))
        for at in range(0, len(items), batch):
            taken = items[at : at + batch]
            x = torch.stack([x_PNF[p, w.start : w.stop] for _, p, w in taken])
            out = forward(x, torch.stack([shifts_GS[g] for g, _, _ in taken]))
            for (g, p, w), gain in zip(taken, out, strict=True):
                core = gain[w.core_start - w.start : w.core_stop - w.start]
                gains[g, p, w.core_start - first : w.core_stop - first] = core
        return gains


def find_overflows(gains_GX: Tensor) -> list[int]:
    """List the queries whose gains are not all finite."""
    return (~gains_GX.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
