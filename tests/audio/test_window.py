"""The stretch of a track that a preview plays."""

import numpy as np
import pytest

from separator.audio.window import FRAME_S, EnvelopeMeter, choose_window


def make_envelope(seconds: float, *loud: tuple[float, float, float]) -> np.ndarray:
    envelope = np.full(round(seconds / FRAME_S), 1e-6)
    for start_s, stop_s, value in loud:
        envelope[round(start_s / FRAME_S) : round(stop_s / FRAME_S)] = value
    return envelope


def test_choose_window_plays_short_tracks_whole():
    assert choose_window(make_envelope(12), 12.0, [(3, 4)]) == (0.0, 12.0)
    assert choose_window(np.zeros(0), 0.0, None) == (0.0, 0.0)


def test_choose_window_goes_around_the_loudest_part_where_nothing_is_known():
    start_s, stop_s = choose_window(make_envelope(100, (60, 61, 1.0)), 100.0, None)
    assert start_s < 60 and stop_s > 61 and stop_s - start_s == pytest.approx(10)


def test_choose_window_takes_the_loudest_presence_and_not_what_is_louder_elsewhere():
    envelope = make_envelope(100, (10, 12, 0.2), (40, 42, 0.5), (80, 90, 1.0))
    start_s, stop_s = choose_window(envelope, 100.0, [(10, 12), (38, 44)])
    assert (start_s, stop_s) == pytest.approx((36, 46))


def test_choose_window_shows_at_most_30_seconds_of_a_long_presence():
    start_s, stop_s = choose_window(make_envelope(200, (150, 151, 1.0)), 200.0, [(20, 190)])
    assert stop_s - start_s == pytest.approx(30) and start_s < 150 < stop_s


@pytest.mark.parametrize("at_s", [0.0, 99.0])
def test_choose_window_stays_inside_the_track(at_s):
    start_s, stop_s = choose_window(make_envelope(100, (at_s, at_s + 1, 1.0)), 100.0, None)
    assert start_s >= 0 and stop_s <= 100 and stop_s - start_s == pytest.approx(10)


def test_envelope_meter_does_not_depend_on_the_blocks():
    waveform_CT = np.random.default_rng(1).standard_normal((2, 10_050)).astype(np.float32)
    found = []
    for size in (10_050, 777):
        meter = EnvelopeMeter(1_000)
        for start in range(0, 10_050, size):
            meter.add(waveform_CT[:, start : start + size])
        found.append(meter.finish())
    np.testing.assert_allclose(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1])
    expected = np.square(waveform_CT[:, :100], dtype=np.float64).mean()
    assert len(found[0][0]) == 101 and found[0][0][0] == pytest.approx(expected)


def test_envelope_meter_keeps_time_at_rates_whose_frames_are_no_whole_samples():
    """An hour at 11,025 Hz with one loud tenth of a second at its end."""
    rate_hz, seconds = 11_025, 3_600
    meter = EnvelopeMeter(rate_hz)
    for second in range(seconds):
        block_CT = np.zeros((1, rate_hz), np.float32)
        if second == seconds - 5:
            block_CT[:, : rate_hz // 10] = 1.0
        meter.add(block_CT)
    envelope, peaks = meter.finish()
    assert len(envelope) == len(peaks) == seconds / FRAME_S
    assert np.argmax(envelope) == np.argmax(peaks) == (seconds - 5) / FRAME_S
