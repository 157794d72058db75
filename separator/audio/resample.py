"""Resample from any rate to any other by windowed sinc, on the device of the samples.

The output holds `ceil(T * to / from)` samples; its sample 0 is at sample 0 of the input. The filter
reaches `TAPS` zero crossings (2.1 ms at 32 kHz) to either side, so a stretch can be resampled on
its own.

Shapes: C channels, T samples, P phases (samples of the output that are computed together), K taps,
N steps.
"""

from fractions import Fraction
from functools import lru_cache
from math import ceil, gcd

import torch
import torch.nn.functional as F
from torch import Tensor

from separator.audio.exact import computing

# The "kaiser best" filter: flat to 0.95 of the lower Nyquist, -120 dB beyond it.
TAPS = 64
ROLLOFF = 0.9475937167399596
BETA = 14.769656459379492
# A table of every phase (from x to) that is larger costs more than computing the weights.
LARGEST_BANK = 16_000_000
TOGETHER = 16  # samples of the output


def resample(waveform_CT: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Resample the last axis; the same array if the rates are equal."""
    if from_hz == to_hz or waveform_CT.shape[-1] == 0:
        return waveform_CT
    common = gcd(from_hz, to_hz)
    if (from_hz // common) * (to_hz // common) > LARGEST_BANK:
        return resample_by_sample(waveform_CT, from_hz, to_hz)
    with computing(waveform_CT.device):
        return make_resampler(from_hz, to_hz, waveform_CT.device)(waveform_CT)


class Resampler(torch.nn.Module):
    """Computes at least `TOGETHER` samples of the output in each step of a convolution: small
    ratios alone give two or three, which would be up to six times slower."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        # torchaudio computes the table of phases; imported here: the import takes 0.3 s
        from torchaudio.transforms import Resample

        super().__init__()
        table = Resample(
            from_hz,
            to_hz,
            resampling_method="sinc_interp_kaiser",
            lowpass_filter_width=TAPS,
            rolloff=ROLLOFF,
            beta=BETA,
            dtype=torch.float64,  # of the table; it is stored in float32 below
        )
        filters_P1K = table.get_buffer("kernel").float()
        num_phases, _, num_taps = filters_P1K.shape
        step, self.reach = from_hz // gcd(from_hz, to_hz), table.width
        self.ratio = Fraction(to_hz, from_hz)
        repeats = ceil(TOGETHER / num_phases)
        self.stride = repeats * step
        wide_P1K = torch.zeros(repeats * num_phases, 1, num_taps + (repeats - 1) * step)
        for i in range(repeats):
            rows = slice(i * num_phases, (i + 1) * num_phases)
            wide_P1K[rows, :, i * step : i * step + num_taps] = filters_P1K
        self.register_buffer("filters_P1K", wide_P1K)

    def forward(self, waveform_CT: Tensor) -> Tensor:
        *shape, num_in = waveform_CT.shape
        filters_P1K = self.get_buffer("filters_P1K")
        padded = F.pad(waveform_CT.reshape(-1, 1, num_in), (self.reach, filters_P1K.shape[-1]))
        out_CPN = F.conv1d(padded, filters_P1K, stride=self.stride)
        num_out = ceil(num_in * self.ratio)
        return out_CPN.transpose(1, 2).reshape(*shape, -1)[..., :num_out]


@lru_cache(maxsize=16)
def make_resampler(from_hz: int, to_hz: int, device: torch.device) -> Resampler:
    return Resampler(from_hz, to_hz).to(device)


def resample_by_sample(
    waveform_CT: Tensor, from_hz: int, to_hz: int, block: int = 1 << 15
) -> Tensor:
    """Resample with weights computed for every output sample: for rates without a small ratio.

    The weights repeat after a period of `to_hz / gcd` samples of the output.
    """
    device, common = waveform_CT.device, gcd(from_hz, to_hz)
    step, period = from_hz // common, to_hz // common
    cutoff = min(from_hz, to_hz) * ROLLOFF / from_hz  # in units of the input's rate
    reach = ceil(TAPS / cutoff)
    padded = F.pad(waveform_CT, (reach, reach + 1))
    num_out = ceil(waveform_CT.shape[-1] * to_hz / from_hz)
    offsets = torch.arange(-reach, reach + 1, device=device)
    window_norm = torch.special.i0(torch.tensor(BETA, dtype=torch.float64, device=device))
    out = waveform_CT.new_empty(*waveform_CT.shape[:-1], num_out)
    for first in range(0, min(period, num_out), block):
        # Positions stay integers: (whole sample, remainder of the period), exact at any length.
        index = torch.arange(first, min(first + block, period, num_out), device=device) * step
        whole, part = index // period, (index % period).double() / period
        distance = (offsets - part[:, None]) * cutoff
        inside = (1 - (distance / TAPS) ** 2).clamp_min(0)
        weight = torch.special.i0(BETA * inside.sqrt()) / window_norm * torch.sinc(distance)
        weight = weight * (distance.abs() < TAPS) * cutoff
        weight = weight.to(waveform_CT.dtype)
        positions = whole[:, None] + offsets + reach
        for repeat, start in enumerate(range(first, num_out, period)):
            number = min(len(whole), num_out - start)
            taken = padded[..., positions[:number] + repeat * step]
            out[..., start : start + number] = (taken * weight[:number]).sum(-1)
    return out
