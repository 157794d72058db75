"""Convert waveforms to spectra and back, and a network's maps to a gain. Pure.

Shapes: B batch, T samples, N frames, F bins, W samples of a frame, H samples of a hop.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def compute_spectrum(waveform_BT: Tensor, n_fft: int, hop: int) -> Tensor:
    """Compute the complex spectrum (B, N, F), N = T // hop + 1; frame n is centred on n * hop.

    The ends are mirrored, which needs more than n_fft / 2 samples: zeros are appended to a shorter
    waveform first (the official code refuses it).
    """
    num_samples = waveform_BT.shape[-1]
    padded = F.pad(waveform_BT, (0, max(0, n_fft // 2 + 1 - num_samples)))
    window = make_window(n_fft, waveform_BT)
    spectrum = torch.stft(
        padded, n_fft, hop, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    return spectrum.transpose(-1, -2)[..., : num_samples // hop + 1, :]


def compute_whole_spectrum(waveform_BT: Tensor, n_fft: int, hop: int) -> Tensor:
    """Compute a spectrum that a network changes and `invert_spectrum` inverts.

    If frames overlap by less than three quarters, and the end lies between two frames, it has one
    more frame. Without it, only the falling edge of one window would cover the samples beyond the
    last frame's centre. Its weight comes close to zero, and the inverse divides by it: the last
    samples could be of any size. If frames overlap more, as in the official networks, others still
    cover the end.
    """
    missing = -waveform_BT.shape[-1] % hop if n_fft < 4 * hop else 0
    return compute_spectrum(F.pad(waveform_BT, (0, missing)), n_fft, hop)


def invert_spectrum(spectrum_BNF: Tensor, n_fft: int, hop: int, num_samples: int) -> Tensor:
    """Compute the waveform (B, T) of exactly `num_samples` by weighted overlap-add."""
    # torch.istft does the same, but takes up to twice the time on a CPU, and waits for a GPU.
    window_W = make_window(n_fft, spectrum_BNF.real)
    frames_BNW = torch.fft.irfft(spectrum_BNF, n_fft) * window_W
    weights_1NW = window_W.square().expand(1, frames_BNW.shape[1], n_fft)
    inner = slice(n_fft // 2, n_fft // 2 + num_samples)
    sums_BT, weights_1T = (overlap(x, hop)[:, inner] for x in (frames_BNW, weights_1NW))
    waveform_BT = sums_BT / weights_1T
    return F.pad(waveform_BT, (0, num_samples - waveform_BT.shape[-1]))


def overlap(frames_BNW: Tensor, hop: int) -> Tensor:
    """Add frames, each `hop` samples after the one before; the end is filled up with zeros."""
    num_frames, width = frames_BNW.shape[1:]
    parts = frames_BNW.split(hop, -1)
    sums_BNH = frames_BNW.new_zeros(len(frames_BNW), num_frames + len(parts) - 1, hop)
    for i, part_BNH in enumerate(parts):  # the same order for each sample, wherever a track is cut
        sums_BNH[:, i : i + num_frames, : part_BNH.shape[-1]] += part_BNH
    return sums_BNH.flatten(1)[:, : (num_frames - 1) * hop + width]


def make_window(n_fft: int, like: Tensor) -> Tensor:
    return torch.hann_window(n_fft, device=like.device, dtype=like.dtype)


def compute_gain(mask: Tensor, real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the complex gain (real, imaginary) of a network's maps: mask 0..1 and rotation."""
    real, imag = torch.tanh(real), torch.tanh(imag)
    # Bounded inside the root, whose slope at 0 is infinite: in training that would be a NaN.
    scale = torch.sigmoid(mask) / torch.sqrt((real * real + imag * imag).clamp_min(1e-20))
    return real * scale, imag * scale
