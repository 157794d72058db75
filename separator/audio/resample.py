"""Resample from any rate to any other by windowed sinc, on the device of the samples.

The output holds `ceil(T * to / from)` samples, sample 0 lies on sample 0. The filter reaches
`TAPS` zero crossings (2.1 ms at 32 kHz) to either side, so a stretch can be resampled on its own.
"""

from functools import lru_cache
from math import ceil, gcd

import torch
from torch import Tensor

from separator.audio.exact import computing

# The "kaiser best" filter: flat to 0.95 of the lower Nyquist, -120 dB beyond it.
TAPS = 64
ROLLOFF = 0.9475937167399596
BETA = 14.769656459379492
# A table of every phase (from x to) that is larger costs more than computing the weights.
LARGEST_BANK = 16_000_000


def resample(waveform_CT: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Resample the last axis; the same array if the rates are equal."""
    if from_hz == to_hz or waveform_CT.shape[-1] == 0:
        return waveform_CT
    common = gcd(from_hz, to_hz)
    if (from_hz // common) * (to_hz // common) > LARGEST_BANK:
        return resample_by_sample(waveform_CT, from_hz, to_hz)
    with computing(waveform_CT.device):
        return make_resampler(from_hz, to_hz, waveform_CT.device)(waveform_CT)


@lru_cache(maxsize=16)
def make_resampler(from_hz: int, to_hz: int, device: torch.device) -> torch.nn.Module:
    """Make torchaudio's resampler, which holds a table of all phases."""
    from torchaudio.transforms import Resample  # imported here: it costs 0.3 s

    return Resample(
        from_hz,
        to_hz,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=TAPS,
        rolloff=ROLLOFF,
        beta=BETA,
        dtype=torch.float64,  # of the table; it is stored in float32 below
    ).to(device, torch.float32)


def resample_by_sample(
    waveform_CT: Tensor, from_hz: int, to_hz: int, block: int = 1 << 15
) -> Tensor:
    """Resample with weights computed for every output sample: for rates without a small ratio."""
    device = waveform_CT.device
    cutoff = min(from_hz, to_hz) * ROLLOFF / from_hz  # in units of the input's rate
    reach = ceil(TAPS / cutoff)
    padded = torch.nn.functional.pad(waveform_CT, (reach, reach + 1))
    num_out = ceil(waveform_CT.shape[-1] * to_hz / from_hz)
    offsets = torch.arange(-reach, reach + 1, device=device)
    window_norm = torch.special.i0(torch.tensor(BETA, dtype=torch.float64, device=device))
    out = waveform_CT.new_empty(*waveform_CT.shape[:-1], num_out)
    for start in range(0, num_out, block):
        # Positions stay integers: (whole sample, remainder of to_hz), exact at any length.
        index = torch.arange(start, min(start + block, num_out), device=device) * from_hz
        whole, part = index // to_hz, (index % to_hz).double() / to_hz
        distance = (offsets - part[:, None]) * cutoff
        inside = (1 - (distance / TAPS) ** 2).clamp_min(0)
        weight = torch.special.i0(BETA * inside.sqrt()) / window_norm * torch.sinc(distance)
        weight = weight * (distance.abs() < TAPS) * cutoff
        taken = padded[..., whole[:, None] + offsets + reach]
        out[..., start : start + len(whole)] = (taken * weight.to(taken.dtype)).sum(-1)
    return out
