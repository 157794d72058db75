"""Test loudness and true peak against the standard, EBU's test cases and ffmpeg's meter."""

import math
import subprocess
import tracemalloc

import numpy as np
import pytest
from scipy.signal import sosfilt, sosfreqz

from separator.audio.format import AudioFormat
from separator.audio.loudness import (
    LAYOUTS,
    SILENCE_LUFS,
    TABLE_RATE_HZ,
    Meter,
    design_filter,
    weigh_channels,
)
from separator.audio.peak import SILENCE_DBTP, TruePeak
from tests.helpers.signals import (
    ask_ffmpeg,
    make_bursts,
    make_chords,
    make_tone,
    measure,
    measure_peak,
)

# ITU-R BS.1770-4, tables 1 and 2.
SHELF = {
    "b": (1.53512485958697, -2.69169618940638, 1.19839281085285),
    "a": (1.0, -1.69065929318241, 0.73248077421585),
}
HIGH_PASS = {"b": (1.0, -2.0, 1.0), "a": (1.0, -1.99004745483398, 0.99007225036621)}


def make_meters(*audio_format) -> tuple[Meter, TruePeak]:
    return Meter(AudioFormat(*audio_format)), TruePeak(AudioFormat(*audio_format))


def test_filter_equals_standard_at_48_khz():
    expected = [[*SHELF["b"], *SHELF["a"]], [*HIGH_PASS["b"], *HIGH_PASS["a"]]]
    np.testing.assert_allclose(design_filter(TABLE_RATE_HZ), expected, rtol=0, atol=1e-12)


# Where the shelf lies near the end of the band, the bilinear transform bends it.
@pytest.mark.parametrize(
    ("rate_hz", "most_db"),
    [
        (8_000, 0.3),
        (11_025, 0.15),
        (22_050, 0.035),
        (44_100, 0.01),
        (96_000, 0.01),
        (192_000, 0.01),
    ],
)
def test_filter_gain_is_equal_at_other_rates(rate_hz, most_db):
    hz = np.geomspace(20, 0.4 * min(rate_hz, TABLE_RATE_HZ), 40)
    gains_db = [
        20 * np.log10(np.abs(sosfreqz(design_filter(rate), hz, fs=rate)[1]))
        for rate in (rate_hz, TABLE_RATE_HZ)
    ]
    np.testing.assert_allclose(*gains_db, rtol=0, atol=most_db)


@pytest.mark.parametrize("rate_hz", [1_000, 4_000, 768_000])
def test_filter_is_stable_at_extreme_rates(rate_hz):
    noise = np.random.default_rng(0).standard_normal((1, rate_hz))
    assert np.isfinite(measure(0.1 * noise, rate_hz)) and measure(0.1 * noise, rate_hz) < 0


@pytest.mark.parametrize(
    ("rate_hz", "within_db"),
    [
        (8_000, 0.22),
        (22_050, 0.03),
        (44_100, 0.01),
        (48_000, 0.01),
        (96_000, 0.01),
        (192_000, 0.01),
    ],
)
def test_loudness_of_997_hz_tone(rate_hz, within_db):
    # The standard: at full scale in one front channel it reads -3.01.
    tone = make_tone(-20, 5, rate_hz)
    assert measure(tone[None], rate_hz, "mono") == pytest.approx(-23.01, abs=within_db)
    both = np.stack([tone, tone])
    assert measure(both, rate_hz, "stereo") == pytest.approx(-20.0, abs=within_db)


# EBU Tech 3341, table 1: stereo, 1 kHz, (dBFS, seconds) each; all read -23.0 ± 0.1.
@pytest.mark.parametrize(
    "steps",
    [
        [(-23, 20)],
        [(-36, 10), (-23, 60), (-36, 10)],
        [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)],
        [(-26, 20), (-20, 20.1), (-26, 20)],
    ],
)
def test_loudness_of_ebu_cases(steps):
    track = np.concatenate([make_tone(level, seconds, hz=1_000) for level, seconds in steps])
    assert measure(np.stack([track, track]), 48_000, "stereo") == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize(
    ("layout", "levels_db"),
    [
        ("5.0", [-28, -28, -24, -30, -30]),
        ("5.1", [-28, -28, -24, 0, -30, -30]),  # low-frequency effects do not count
        ("5.1(side)", [-28, -28, -24, 0, -30, -30]),
    ],
)
def test_loudness_of_ebu_surround_case(layout, levels_db):
    tones_CT = np.stack([make_tone(level, 20, hz=1_000) for level in levels_db])
    assert measure(tones_CT, 48_000, layout) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize(
    ("make", "rate_hz", "layout"),
    [
        (make_bursts, 22_050, "mono"),
        (make_bursts, 48_000, "stereo"),
        (make_chords, 44_100, "stereo"),
        (make_chords, 48_000, "5.1"),
        (make_bursts, 48_000, "5.1(side)"),
        (make_chords, 96_000, "stereo"),
    ],
)
def test_loudness_and_peak_agree_with_ffmpeg(make, rate_hz, layout):
    samples_CT = make(rate_hz, len(LAYOUTS[layout].split("+")))
    loudness, peak = ask_ffmpeg(samples_CT, rate_hz, layout)
    assert measure(samples_CT, rate_hz, layout) == pytest.approx(loudness, abs=0.1)
    assert measure_peak(samples_CT, rate_hz) == pytest.approx(peak, abs=0.2)


def test_weigh_channels_by_layout():
    one, side, none = 1.0, 1.41, 0.0
    assert weigh_channels("mono", 1).tolist() == [one]
    assert weigh_channels("5.1", 6).tolist() == [one, one, one, none, side, side]
    assert weigh_channels("FL+FR+LFE", 3).tolist() == [one, one, none]
    # The back pair of 7.1 stands behind 120 degrees.
    assert weigh_channels("7.1", 8).tolist() == [one, one, one, none, one, one, side, side]
    studio = dict(zip(LAYOUTS["22.2"].split("+"), weigh_channels("22.2", 24), strict=True))
    assert [name for name, weight in studio.items() if weight == none] == ["LFE", "LFE2"]
    assert [name for name, weight in studio.items() if weight == side] == ["SL", "SR"]
    for unknown in (None, "", "a layout of tomorrow", "5.1"):
        assert weigh_channels(unknown, 4).tolist() == [one] * 4


def test_layouts_equal_ffmpeg_layouts():
    command = ["ffmpeg", "-v", "error", "-layouts"]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    known = dict(line.split() for line in told.splitlines() if "+" in line or " FC" in line)
    assert {name: known.get(name, names) for name, names in LAYOUTS.items()} == LAYOUTS
    assert "5.1" in known


def cut(rng, num_samples, longest):
    at = 0
    while at < num_samples:
        stop = min(num_samples, at + int(rng.integers(0, longest)))
        yield slice(at, stop)
        at = stop


@pytest.mark.parametrize(
    ("rate_hz", "longest"), [(11_025, 3_000), (48_000, 40), (48_000, 3_000), (96_000, 200_000)]
)
def test_meters_do_not_depend_on_block_sizes(rate_hz, longest):
    samples_CT = make_bursts(rate_hz, 2, 1.5 if longest < 100 else 4.0)
    loudness, peak = make_meters(rate_hz, 2, "stereo")
    for part in cut(np.random.default_rng(longest), samples_CT.shape[1], longest):
        loudness.add(samples_CT[:, part])
        peak.add(samples_CT[:, part])
    assert loudness.loudness_lufs() == measure(samples_CT, rate_hz, "stereo")
    assert peak.peak_dbtp() == pytest.approx(measure_peak(samples_CT, rate_hz), abs=1e-9)


@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_loudness_filter_keeps_state_between_blocks(gain):
    # Filters that restarted with each block would pass the offset each time.
    samples_CT = gain * (make_bursts(8_000, 1) + 0.3)
    power = sosfilt(design_filter(8_000), samples_CT[0].astype(np.float64)) ** 2
    blocks = np.array([power[at : at + 3_200].mean() for at in range(0, len(power) - 3_199, 800)])
    loud = blocks[-0.691 + 10 * np.log10(blocks) > -70]
    loud = loud[10 * np.log10(loud) > 10 * np.log10(loud.mean()) - 10]
    expected = -0.691 + 10 * np.log10(loud.mean())
    assert measure(samples_CT, 8_000) == pytest.approx(expected, abs=1e-9)


def test_reading_a_meter_does_not_change_it():
    samples_CT = make_bursts(8_000, 1)
    loudness, peak = make_meters(8_000, 1)
    for at in range(0, samples_CT.shape[1], 777):
        loudness.add(samples_CT[:, at : at + 777])
        peak.add(samples_CT[:, at : at + 777])
        assert loudness.loudness_lufs() == measure(samples_CT[:, : at + 777], 8_000)
        so_far = measure_peak(samples_CT[:, : at + 777], 8_000)
        assert peak.peak_dbtp() == pytest.approx(so_far, abs=1e-9)


def test_meters_accept_read_only_samples_in_any_order():
    samples_TC = np.ascontiguousarray(make_bursts(8_000, 2).T)
    samples_TC.flags.writeable = False
    before = samples_TC.copy()
    loudness, peak = measure(samples_TC.T, 8_000), measure_peak(samples_TC.T, 8_000)
    np.testing.assert_array_equal(samples_TC, before)
    assert loudness == measure(before.T.astype(np.float64), 8_000)
    assert peak == pytest.approx(measure_peak(before.T.astype(np.float64), 8_000), abs=1e-9)


@pytest.mark.parametrize("num_samples", [0, 1, 3_000, 500_000])
def test_meters_of_silence(num_samples):
    silence_CT = np.zeros((2, num_samples), np.float32)
    assert measure(silence_CT, 48_000) == SILENCE_LUFS
    assert measure_peak(silence_CT, 48_000) == SILENCE_DBTP


def test_loudness_below_absolute_gate_is_silence():
    assert measure(make_tone(-75, 3)[None], 48_000) == SILENCE_LUFS
    assert measure(make_tone(-65, 3)[None], 48_000) == pytest.approx(-68.01, abs=0.02)


def test_meters_without_samples_show_silence():
    loudness, peak = make_meters(48_000, 2)
    assert (loudness.loudness_lufs(), peak.peak_dbtp()) == (SILENCE_LUFS, SILENCE_DBTP)


@pytest.mark.parametrize("seconds", [0.05, 0.25, 0.399])
def test_loudness_of_short_track_is_one_block(seconds):
    # The filters' first swing is a part of it.
    assert measure(make_tone(-20, seconds)[None], 48_000) == pytest.approx(-23.01, abs=0.2)


def test_loudness_ignores_unfinished_block():
    tone = make_tone(-20, 1.0)
    loud = np.concatenate([tone, make_tone(0, 0.099)])
    assert measure(loud[None], 48_000) == measure(tone[None], 48_000)


def test_meters_of_nan_are_nan():
    samples_CT = make_bursts(8_000, 1).copy()
    samples_CT[0, 20_000] = np.nan
    assert math.isnan(measure(samples_CT, 8_000))
    assert math.isnan(measure_peak(samples_CT, 8_000))


def test_meters_use_little_memory():
    rate_hz, minutes = 8_000, 10
    block_CT = make_bursts(rate_hz, 2, 30.0)
    loudness, peak = make_meters(rate_hz, 2)
    tracemalloc.start()
    for _ in range(2 * minutes):
        loudness.add(block_CT)
        peak.add(block_CT)
    (held_bytes, most_bytes), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
    # One number of 8 bytes for every 100 ms, and the blocks in hand.
    assert held_bytes < 1.2 * 8 * 10 * 60 * minutes + 50_000
    assert most_bytes < 8_000_000
    assert loudness.loudness_lufs() == pytest.approx(measure(block_CT, rate_hz), abs=0.05)


@pytest.mark.parametrize("longest", [700, 50_000])
@pytest.mark.parametrize(
    ("on_s", "level_db", "share"),
    [([(0.0, 4.0)], -20, 1.0), ([(1.0, 2.0)], -20, 0.25), ([(0.5, 1.0), (3.0, 3.5)], -40, 0.25),
     ([], -20, 0.0), ([(0.0, 4.0)], -66, 0.0)],
)  # fmt: skip
def test_active_share_of_sound_over_hum(on_s, level_db, share, longest):
    """Among a hum 40 dB softer, which is not what the stem is about."""
    rate_hz = 8_000
    tone = make_tone(level_db, 4.0, rate_hz)
    time_s = np.arange(len(tone)) / rate_hz
    is_on = np.any([(time_s >= a) & (time_s < b) for a, b in on_s] or [time_s < 0], axis=0)
    samples_CT = np.stack([np.where(is_on, tone, 0.01 * tone)] * 2)
    meter, _ = make_meters(rate_hz, 2, "stereo")
    for start in range(0, len(tone), longest):
        meter.add(samples_CT[:, start : start + longest])
    # A filter that rings on may count a stretch more at each end.
    assert share - 0.02 <= meter.active_share() <= share + 0.06 * len(on_s)


def test_active_share_of_short_and_nan_tracks():
    meter, _ = make_meters(8_000, 1)
    assert meter.active_share() == 0
    meter.add(0.1 * np.ones((1, 100)) * np.sin(np.arange(100)))
    assert meter.active_share() == 1  # less than a stretch, and to be heard
    meter.add(np.full((1, 8_000), np.nan))
    assert math.isnan(meter.active_share())
