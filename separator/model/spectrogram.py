"""Convert waveforms to spectra and back, and a network's maps to a gain. Pure.

Shapes: B batch, T samples, N frames, F bins.
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
    window = torch.hann_window(n_fft, device=waveform_BT.device, dtype=waveform_BT.dtype)
    spectrum = torch.stft(
        padded, n_fft, hop, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    return spectrum.transpose(-1, -2)[..., : num_samples // hop + 1, :]


def invert_spectrum(spectrum_BNF: Tensor, n_fft: int, hop: int, num_samples: int) -> Tensor:
    """Compute the waveform (B, T) of exactly `num_samples` by weighted overlap-add."""
    window = torch.hann_window(n_fft, device=spectrum_BNF.device, dtype=spectrum_BNF.real.dtype)
    return torch.istft(
        spectrum_BNF.transpose(-1, -2), n_fft, hop, window=window, center=True, length=num_samples
    )


def compute_gain(mask: Tensor, real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the complex gain (real, imaginary) of a network's maps: mask 0..1 and rotation."""
    real, imag = torch.tanh(real), torch.tanh(imag)
    # Bounded inside the root, whose slope at 0 is infinite: in training that would be a NaN.
    scale = torch.sigmoid(mask) / torch.sqrt((real * real + imag * imag).clamp_min(1e-20))
    return real * scale, imag * scale
