"""Test the true peak against EBU's cases and interpolation of the whole track at once."""

import numpy as np
import pytest
from scipy.signal import butter, resample, sosfilt

from separator.audio.format import AudioFormat
from separator.audio.peak import TruePeak
from tests.helpers.signals import make_bursts, make_tone, measure_peak


# EBU Tech 3341, cases 15 to 18: a quarter of the rate at half of full scale, +0.2 to -0.4 dB.
@pytest.mark.parametrize("phase_degrees", [0, 45, 60, 67.5])
def test_true_peak_of_ebu_cases(phase_degrees):
    turns = np.arange(48_000) / 4 + phase_degrees / 360
    # Faded, as EBU's are: where a tone starts at once it truly overshoots.
    fade = np.minimum(1, np.minimum(np.arange(48_000), np.arange(48_000)[::-1]) / 480)
    tone = 0.5 * fade * np.sin(2 * np.pi * turns)
    assert -6.02 - 0.4 < measure_peak(tone[None], 48_000) < -6.02 + 0.2


@pytest.mark.parametrize(("rate_hz", "factor"), [(44_100, 4), (48_000, 4), (96_000, 2)])
def test_true_peak_equals_whole_track_interpolation(rate_hz, factor):
    rng = np.random.default_rng(factor)
    band = butter(12, 0.4 * rate_hz, fs=rate_hz, output="sos")
    noise = 0.2 * sosfilt(band, rng.standard_normal(40_000)) * np.hanning(40_000)
    # Interpolated over the whole track at once.
    outside = np.abs(resample(noise, factor * len(noise))).max()
    assert outside > 1.02 * np.abs(noise).max()
    assert measure_peak(noise[None], rate_hz) == pytest.approx(20 * np.log10(outside), abs=0.03)


@pytest.mark.parametrize("seed", range(8))
def test_true_peak_is_found_at_any_place(seed):
    # Two equal samples inside a tone that is sampled well: the peak is between them.
    rng = np.random.default_rng(seed)
    samples_CT = 0.6 * make_tone(0, 0.3)[None].repeat(3, 0)
    channel, at = rng.integers(3), rng.integers(100, samples_CT.shape[1] - 100)
    samples_CT[channel, at - 40 : at + 42] = 0
    samples_CT[channel, at : at + 2] = 0.6
    samples_CT[channel, at - 1], samples_CT[channel, at + 2] = -0.3, -0.3
    whole = np.abs(resample(samples_CT, 4 * samples_CT.shape[1], axis=1)).max()
    assert whole > 0.8
    assert measure_peak(samples_CT, 48_000) == pytest.approx(20 * np.log10(whole), abs=0.1)


def test_true_peak_is_found_at_both_ends():
    for edge in ([0.5, 0.5], [0.5, 0.5, *np.zeros(200)], [*np.zeros(200), 0.5, 0.5]):
        assert measure_peak(np.array([edge]), 48_000) == pytest.approx(-3.9, abs=0.2)


def test_true_peak_is_found_between_blocks():
    for at in range(150, 250):
        samples_CT = np.zeros((1, 400))
        samples_CT[0, at : at + 2] = 0.5
        meter = TruePeak(AudioFormat(48_000, 1))
        meter.add(samples_CT[:, :224])
        meter.add(samples_CT[:, 224:])
        assert meter.peak_dbtp() == pytest.approx(measure_peak(samples_CT, 48_000), abs=1e-9)


def test_true_peak_at_192_khz_is_sample_peak():
    samples_CT = make_bursts(192_000, 1, 0.5)
    expected = 20 * np.log10(np.abs(samples_CT).max())
    assert measure_peak(samples_CT, 192_000) == pytest.approx(expected)
