"""Pictures of sounds: PNG read by Pillow, pitches and levels where they belong."""

import io

import numpy as np
from PIL import Image

from separator.audio.pictures import (
    COLORS,
    RANGE_DB,
    draw_spectrogram,
    measure_levels,
    measure_loudest,
    measure_peaks,
)

RATE_HZ = 16_000


def make_tone(hz: float, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)[None]


def read(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))


def test_draw_spectrogram_gives_a_png_of_the_size_with_silence_dark():
    picture = read(draw_spectrogram(np.zeros((2, RATE_HZ)), RATE_HZ, 300, 50, loudest_db=-10.0))
    assert picture.shape == (50, 300, 3)
    assert (picture == COLORS[0]).all()


def test_draw_spectrogram_of_the_same_sound_gives_the_same_bytes():
    noise_CT = np.random.default_rng(1).standard_normal((1, RATE_HZ))
    assert draw_spectrogram(noise_CT, RATE_HZ) == draw_spectrogram(noise_CT.copy(), RATE_HZ)


def test_measure_levels_puts_high_tones_above_low_ones_and_at_their_level():
    rows = []
    for hz in (200.0, 1_000.0, 5_000.0):
        levels_HW = measure_levels(0.5 * make_tone(hz), RATE_HZ, 100, 96)
        rows.append(int(levels_HW[:, 50].argmax()))
        # A sine of half of full scale has a peak of a quarter of it in the spectrum.
        assert abs(levels_HW.max() - 20 * np.log10(0.25)) < 3
    assert rows == sorted(rows, reverse=True)


def test_measure_levels_shows_a_sound_at_its_time():
    sound_CT = make_tone(1_000.0, 4.0)
    sound_CT[:, : 2 * RATE_HZ] = 0
    loudness_W = measure_levels(sound_CT, RATE_HZ, 200, 40).max(0)
    assert (loudness_W[:95] < -60).all() and (loudness_W[105:195] > -10).all()


def test_measure_loudest_makes_sounds_comparable():
    loud_CT, soft_CT = make_tone(1_000.0), 1e-5 * make_tone(1_000.0)
    top_db = measure_loudest(loud_CT, RATE_HZ)
    assert (read(draw_spectrogram(soft_CT, RATE_HZ, loudest_db=top_db)) == COLORS[0]).all()
    assert measure_loudest(soft_CT, RATE_HZ) < top_db - RANGE_DB


def test_sounds_shorter_than_a_frame_and_of_low_rates_can_be_drawn():
    for rate_hz, num_samples in ((1_000, 3), (8_000, 1), (192_000, 40)):
        picture = read(draw_spectrogram(np.ones((1, num_samples)), rate_hz, 64, 32))
        assert picture.shape == (32, 64, 3)


def test_measure_peaks_keeps_the_largest_sample_of_each_stretch():
    waveform_CT = np.zeros((2, 1_000))
    waveform_CT[1, 555] = -0.7
    peaks = measure_peaks(waveform_CT, 10)
    assert peaks.tolist() == [0, 0, 0, 0, 0, 0.7, 0, 0, 0, 0]
    assert measure_peaks(np.zeros((1, 0)), 4).tolist() == [0, 0, 0, 0]
    assert len(measure_peaks(np.ones((1, 3)), 8)) == 8
