"""The changes of drawn sounds, against spectra and levels measured with numpy."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile

from separator.errors import AudioError, RequestError
from separator.storage import Storage
from separator.train.draw import (
    colour,
    draw_sound,
    draw_speed,
    high_pass,
    join,
    low_pass,
    set_level,
)
from separator.train.recipe import ChangeSettings
from separator.train.sound_lists import Source

RATE_HZ = 32_000
STORAGE = Storage()
UNCHANGED = ChangeSettings()


def make_rng(seed=0) -> np.random.Generator:
    return np.random.default_rng(seed)


def measure_level_db(x_T) -> float:
    return float(10 * np.log10(np.mean(np.square(x_T, dtype=float)) + 1e-20))


def measure_bands_db(x_T, edge_hz: float) -> tuple[float, float]:
    """Measure the levels per bin well below and well above a frequency."""
    power = np.abs(np.fft.rfft(x_T)) ** 2
    freq_hz = np.fft.rfftfreq(len(x_T), 1 / RATE_HZ)
    below, above = power[freq_hz < 0.7 * edge_hz], power[freq_hz > 1.4 * edge_hz]
    return 10 * np.log10(below.mean()), 10 * np.log10(above.mean())


def find_sounds(x_T, gap: int = 200) -> list[tuple[int, int]]:
    """Find the first and last sample of stretches that lie `gap` samples of silence apart."""
    at = np.flatnonzero(np.abs(x_T) > 1e-4)
    ends = np.flatnonzero(np.diff(at) > gap)
    starts = at[np.concatenate([[0], ends + 1])]
    return list(zip(starts, at[np.concatenate([ends, [len(at) - 1]])], strict=True))


def test_low_pass_takes_out_what_lies_above():
    noise_T = make_rng().standard_normal(RATE_HZ)
    below_db, above_db = measure_bands_db(low_pass(noise_T, 4_000, RATE_HZ), 4_000)
    before_db, _ = measure_bands_db(noise_T, 4_000)
    assert below_db == pytest.approx(before_db, abs=0.3) and above_db < below_db - 30


def test_colour_changes_levels_smoothly_and_moves_nothing():
    click_T = np.zeros(RATE_HZ + 1)
    click_T[RATE_HZ // 2] = 1
    coloured_T = colour(make_rng(), click_T, 6.0, RATE_HZ)
    assert len(coloured_T) == len(click_T) and np.abs(coloured_T).argmax() == RATE_HZ // 2
    gains_db = 20 * np.log10(np.abs(np.fft.rfft(coloured_T)))[100:]
    assert np.abs(gains_db).max() < 6.5 and gains_db.std() > 1
    assert np.abs(np.diff(gains_db)).max() < 0.2  # per Hz
    at_start_T = colour(make_rng(), np.roll(click_T, -(RATE_HZ // 2)), 6.0, RATE_HZ)
    assert np.abs(at_start_T[-2_000:]).max() < 1e-3 * np.abs(at_start_T).max()


def test_high_pass_takes_out_rumble_and_offset():
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    rumble, tone = np.sin(2 * np.pi * 5 * t) + 0.5, np.sin(2 * np.pi * 200 * t)
    assert (
        measure_level_db(high_pass(rumble, 30, RATE_HZ)[RATE_HZ:]) < measure_level_db(rumble) - 25
    )
    kept_db = measure_level_db(high_pass(tone, 30, RATE_HZ)[RATE_HZ:])
    assert kept_db == pytest.approx(measure_level_db(tone), abs=0.1)


def test_join_repeats_a_short_sound_with_pauses():
    event = np.full(3_200, 0.5, np.float32)
    joined_T = join([event], 3 * RATE_HZ, RATE_HZ, make_rng(1), [0.2, 0.2])
    found = find_sounds(joined_T)
    assert len(joined_T) == 3 * RATE_HZ and 7 <= len(found) <= 15
    pauses_s = np.array([b[0] - a[1] for a, b in pairwise(found)]) / RATE_HZ
    assert pauses_s.min() > 0.09 and pauses_s.max() < 0.31 and np.ptp(pauses_s) > 0.01


def test_join_takes_the_sounds_in_turn():
    sounds = [np.full(1_600, level, np.float32) for level in (0.1, 0.2, 0.3)]
    joined_T = join(sounds, RATE_HZ, RATE_HZ, make_rng(2), [0.05, 0.05])
    levels = [round(float(joined_T[a:b].max()), 1) for a, b in find_sounds(joined_T)]
    assert levels[:6] == [0.1, 0.2, 0.3, 0.1, 0.2, 0.3]


def test_join_hears_the_first_sound_in_full_where_it_fits():
    event = np.linspace(0.1, 1, 20_000, dtype=np.float32)
    for seed in range(10):
        joined_T = join([event], 24_000, RATE_HZ, make_rng(seed), [0.1, 1.0])
        first, _ = find_sounds(joined_T)[0]
        assert first <= 4_000 + 10


def test_join_refuses_sounds_without_a_sample():
    with pytest.raises(AudioError, match="empty"):
        join([np.zeros(0, np.float32)], 100, RATE_HZ, make_rng(), [0.1, 0.1])


def test_set_level_scales_all_by_one_factor_and_spares_the_peak():
    mixture, target = 0.1 * make_rng().standard_normal((2, RATE_HZ)).astype(np.float32)
    scaled, same = set_level(make_rng(), [-26, -26], mixture, target)
    assert measure_level_db(scaled) == pytest.approx(-26, abs=0.01)
    np.testing.assert_allclose(same / target, scaled / mixture, rtol=1e-4)
    loud, _ = set_level(make_rng(), [0, 0], mixture, target)
    assert np.abs(loud).max() == pytest.approx(0.95, abs=1e-4)
    silence = np.zeros(10, np.float32)
    assert not set_level(make_rng(), [0, 0], silence)[0].any()


def test_draw_speed_stays_within_the_semitones():
    speeds = [draw_speed(make_rng(seed), 2.0) for seed in range(200)]
    semitones = 12 * np.log2([up / down for up, down in speeds])
    assert -2.1 < semitones.min() < -1.5 and 1.5 < semitones.max() < 2.1
    assert draw_speed(make_rng(), 0.0) == (1, 1)


@pytest.fixture(scope="module")
def tone(tmp_path_factory) -> str:
    """Two seconds of 1 kHz."""
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * np.arange(64_000) / 32), RATE_HZ)
    return str(path)


def find_pitch_hz(x_T) -> float:
    return float(np.abs(np.fft.rfft(x_T)).argmax() * RATE_HZ / len(x_T))


def test_draw_sound_moves_the_pitch_of_recordings_alone(tone):
    changes = ChangeSettings(semitones=2.0)
    for package, is_moved in (("p", True), ("", False)):
        source = Source(tone, ("x",), package=package)
        drawn = [
            draw_sound(STORAGE, source, RATE_HZ, RATE_HZ, make_rng(s), changes) for s in range(8)
        ]
        pitches = [find_pitch_hz(x_T) for x_T in drawn]
        assert all(len(x_T) == RATE_HZ and x_T.dtype == np.float32 for x_T in drawn)
        assert min(pitches) > 885 and max(pitches) < 1_130
        assert (np.ptp(pitches) > 50) == is_moved


def test_draw_sound_takes_rumble_and_highs_out_of_any_sound(tmp_path):
    rng, path = make_rng(), str(tmp_path / "noise.wav")
    soundfile.write(path, 0.1 * rng.standard_normal(2 * RATE_HZ) + 0.3, RATE_HZ)
    changes = ChangeSettings(high_pass_hz=30.0, low_pass_ratio=1.0, low_pass_hz=[4_000, 4_000])
    for package in ("p", ""):
        source = Source(path, ("x",), package=package)
        drawn_T = draw_sound(STORAGE, source, RATE_HZ, RATE_HZ, make_rng(), changes)
        below_db, above_db = measure_bands_db(drawn_T, 4_000)
        assert above_db < below_db - 30 and abs(drawn_T[RATE_HZ // 2 :].mean()) < 0.01


def test_draw_sound_puts_recordings_into_a_room(tone):
    source = Source(tone, ("x",), package="p", joins=(tone,))
    room = ChangeSettings(room_ratio=1.0)
    dry, wet = (
        draw_sound(STORAGE, source, 96_000, RATE_HZ, make_rng(3), changes)
        for changes in (UNCHANGED, room)
    )
    assert np.count_nonzero(np.abs(wet) > 1e-3) > np.count_nonzero(np.abs(dry) > 1e-3) + 1_000


def test_draw_sound_joins_short_recordings_and_pads_what_has_no_joins(tone, tmp_path):
    word = str(tmp_path / "word.wav")
    soundfile.write(word, np.full(1_600, 0.5), RATE_HZ)
    changes = ChangeSettings(pause_s=[0.1, 0.1])
    joined = Source(word, ("x",), package="p", joins=(word,))
    alone = Source(word, ("x",), package="p")
    for source, least, most in ((joined, 4, 12), (alone, 1, 1)):
        drawn_T = draw_sound(STORAGE, source, RATE_HZ, RATE_HZ, make_rng(), changes)
        assert least <= len(find_sounds(drawn_T)) <= most


@pytest.mark.parametrize(
    ("name", "pair"), [("low_pass_hz", [9.0]), ("pause_s", [0.0, 1.0]), ("level_db", [-14, -32])]
)
def test_change_settings_refuse_a_pair_that_is_none(name, pair):
    with pytest.raises(RequestError, match=rf"data\.changes\.{name}"):
        ChangeSettings(**{name: pair})
