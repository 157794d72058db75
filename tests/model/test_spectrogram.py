"""Test spectra and their inverse against torch's own."""

import pytest
import torch

from separator.model.spectrogram import compute_spectrum, compute_whole_spectrum, invert_spectrum

SIZES = [(1280, 640), (2048, 320), (1024, 320), (512, 160), (400, 160), (6, 5)]


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
@pytest.mark.parametrize("num_samples", [1, 500, 1024, 1025, 1601, 9_999])
def test_spectrum_equals_torch(n_fft, hop, num_samples):
    waveform = torch.randn(2, num_samples, generator=torch.Generator().manual_seed(0))
    spectrum = compute_spectrum(waveform, n_fft, hop)
    padded = torch.nn.functional.pad(waveform, (0, max(0, n_fft // 2 + 1 - num_samples)))
    window = torch.hann_window(n_fft)
    wanted = torch.stft(padded, n_fft, hop, window=window, return_complex=True)
    assert spectrum.shape == (2, num_samples // hop + 1, n_fft // 2 + 1)
    assert (spectrum - wanted.transpose(1, 2)[:, : spectrum.shape[1]]).abs().max() < 2e-5


@pytest.mark.parametrize(("n_fft", "hop"), SIZES[:-1])
@pytest.mark.parametrize("num_samples", [1, 500, 1601, 9_999])
def test_inverse_equals_torch(n_fft, hop, num_samples):
    shape = (2, num_samples // hop + 1, n_fft // 2 + 1)
    maps = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    spectrum = torch.complex(*maps).requires_grad_()
    other = spectrum.detach().clone().requires_grad_()
    waveform = invert_spectrum(spectrum, n_fft, hop, num_samples)
    window = torch.hann_window(n_fft)
    wanted = torch.istft(other.transpose(1, 2), n_fft, hop, window=window, length=num_samples)
    scale = wanted.detach().abs().max()
    assert (waveform - wanted).abs().max() < 1e-6 * scale
    for sound in (waveform, wanted):
        sound.square().sum().backward()
    assert spectrum.grad is not None and other.grad is not None
    assert (spectrum.grad - other.grad).abs().max() < 1e-5 * other.grad.abs().max()


def test_inverse_of_a_spectrum_is_the_waveform():
    waveform = torch.randn(1, 5_000, generator=torch.Generator().manual_seed(0))
    spectrum = compute_spectrum(waveform, 1280, 640)
    assert (invert_spectrum(spectrum, 1280, 640, 5_000) - waveform).abs().max() < 1e-5


def test_a_track_may_be_cut_anywhere():
    spectrum = torch.randn(1, 40, 641, dtype=torch.complex64)
    whole, cut = (invert_spectrum(s, 1280, 640, 19_200) for s in (spectrum, spectrum[:, 7:]))
    assert torch.equal(whole[:, 8 * 640 : 19_200], cut[:, 640 : 19_200 - 7 * 640])


@pytest.mark.parametrize(("n_fft", "hop"), SIZES[:-1])
@pytest.mark.parametrize("left_over", [1, 0.5, 0.99])
def test_the_end_is_no_louder_than_the_rest(n_fft, hop, left_over):
    """A network turns phases as it likes: windows no longer cancel where only one is left."""
    num_samples = 20 * hop + max(1, round(left_over * hop) - 1)
    generator = torch.Generator().manual_seed(0)
    waveform = torch.randn(1, num_samples, generator=generator)
    spectrum = compute_whole_spectrum(waveform, n_fft, hop)
    phase = 2 * torch.pi * torch.rand(spectrum.shape, generator=generator)
    stem = invert_spectrum(spectrum * torch.polar(torch.ones(()), phase), n_fft, hop, num_samples)
    assert stem[:, -hop:].abs().max() < 2.5 * stem[:, :-hop].abs().max()
