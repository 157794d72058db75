"""Test resampling against tones whose samples are known at every rate."""

import numpy as np
import pytest
import torch

from separator.audio.resample import resample, resample_by_sample

RATES = [5_000, 8_000, 11_025, 44_100, 192_000, 44_056]


def make_tone(rate_hz: int, hz: float, seconds: float = 0.5) -> torch.Tensor:
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    return torch.from_numpy(np.sin(2 * np.pi * hz * time_s)[None]).float()


@pytest.mark.parametrize("to_hz", [32_000, 48_000])
@pytest.mark.parametrize("from_hz", RATES)
def test_resample_preserves_a_tone(from_hz, to_hz):
    out = resample(make_tone(from_hz, 997), from_hz, to_hz)
    assert out.shape[-1] == -(-make_tone(from_hz, 997).shape[-1] * to_hz // from_hz)
    expected = make_tone(to_hz, 997, 1.0)[:, : out.shape[-1]]
    inner = slice(to_hz // 20, -to_hz // 20)
    assert (out - expected)[:, inner].abs().max() < 2e-4


def test_resample_removes_frequencies_above_nyquist():
    out = resample(make_tone(48_000, 16_500), 48_000, 32_000)
    assert out[:, 1_000:-1_000].abs().max() < 1e-5


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(44_100, 32_000), (32_000, 44_100), (8_000, 32_000)]
)
def test_resample_by_sample_equals_torchaudio(from_hz, to_hz):
    noise = torch.randn(2, 5_000, generator=torch.Generator().manual_seed(1))
    by_bank, by_sample = resample(noise, from_hz, to_hz), resample_by_sample(noise, from_hz, to_hz)
    assert (by_bank - by_sample).abs().max() < 1e-5


def test_resample_to_same_rate_returns_input():
    noise = torch.randn(1, 100)
    assert resample(noise, 32_000, 32_000) is noise


@pytest.mark.parametrize("num_samples", [0, 1, 2])
def test_resample_of_few_samples(num_samples):
    assert resample(torch.ones(1, num_samples), 8_000, 32_000).shape == (1, 4 * num_samples)
