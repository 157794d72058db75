"""Waveform to spectrum and back, and what a network's maps do to one. Pure functions on tensors.

Shapes: B batch, T samples, N frames, F bins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def compute_spectrum(waveform_BT: Tensor, n_fft: int, hop: int) -> Tensor:
    """Complex spectrum (B, N, F), N = T // hop + 1. Frame n is centred on sample n * hop.

    The ends are mirrored, which needs more than n_fft / 2 samples: a shorter waveform is followed
    by zeros first (the official code refuses it).
    """
    num_samples = waveform_BT.shape[-1]
    padded = F.pad(waveform_BT, (0, max(0, n_fft // 2 + 1 - num_samples)))
    window = torch.hann_window(n_fft, device=waveform_BT.device, dtype=waveform_BT.dtype)
    spectrum = torch.stft(
        padded, n_fft, hop, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    return spectrum.transpose(-1, -2)[..., : num_samples // hop + 1, :]


def invert_spectrum(spectrum_BNF: Tensor, n_fft: int, hop: int, num_samples: int) -> Tensor:
    """Waveform (B, T) of exactly `num_samples`, overlap-added and divided by the windows' sum."""
    window = torch.hann_window(n_fft, device=spectrum_BNF.device, dtype=spectrum_BNF.real.dtype)
    return torch.istft(
        spectrum_BNF.transpose(-1, -2), n_fft, hop, window=window, center=True, length=num_samples
    )


def compute_gain(mask: Tensor, real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor]:
    """The complex gain that a network's three maps stand for: a mask in 0..1 and a rotation."""
    real, imag = torch.tanh(real), torch.tanh(imag)
    scale = torch.sigmoid(mask) / torch.sqrt(real * real + imag * imag).clamp_min(1e-10)
    return real * scale, imag * scale
