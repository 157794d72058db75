"""Players in a notebook: short, self-contained, labelled."""

import struct

import numpy as np
import pytest

from separator.notebook.players import MAX_PLAYERS, Preview, make_page, make_preview, show_time
from tests.helpers.shown import read_players

RATE_HZ = 8_000


def make_burst(seconds: float, at_s: float) -> np.ndarray:
    """Make soft noise with one loud second."""
    noise = 0.01 * np.random.default_rng(0).standard_normal((1, round(seconds * RATE_HZ)))
    noise[:, round(at_s * RATE_HZ) : round((at_s + 1) * RATE_HZ)] *= 30
    return noise.astype(np.float32)


def test_a_long_sound_shows_its_loudest_part(tmp_path):
    preview = make_preview("siren", make_burst(120, 70), RATE_HZ)
    (player,), _ = read_players(make_page([preview], 1))
    start_s, stop_s = preview.window
    assert start_s < 70 < 71 < stop_s and stop_s - start_s == pytest.approx(10)
    assert player.label == f"siren, {show_time(start_s)} to {show_time(stop_s)} of 2:00.0"
    shown, rate_hz = player.decode(tmp_path)
    assert shown.shape[1] / rate_hz == pytest.approx(10, abs=0.3)
    assert np.abs(shown).max() > 0.3


def test_a_page_is_bounded_whatever_it_shows():
    """The largest page that stems can make: noise of 30 s at a high rate in many players."""
    noise = 0.3 * np.random.default_rng(0).standard_normal((2, 30 * 48_000)).astype(np.float32)
    one = make_page([make_preview("x", noise, 48_000)], 1)
    longer = make_page([make_preview("x", np.tile(noise, 4), 48_000)], 1)
    assert len(longer) < len(one) < 500_000
    assert len(one) * MAX_PLAYERS < 4_000_000


def test_the_picture_is_a_png_with_a_label():
    (player,), _ = read_players(make_page([make_preview("rain", make_burst(1, 0), RATE_HZ)], 1))
    assert player.picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", player.picture[16:24]) == (640, 96)
    assert player.alt == "Spectrogram of rain, 0:01.0"


def test_names_are_text():
    name = '<script>alert(1)</script> "x" \u05e9'
    (player,), reader = read_players(make_page([make_preview(name, make_burst(1, 0), RATE_HZ)], 1))
    assert player.label == f"{name}, 0:01.0" and name in reader.text


def test_pictures_share_one_scale_of_colors():
    loud, soft = make_burst(2, 0), 1e-4 * make_burst(2, 0)
    previews = [make_preview(name, x, RATE_HZ) for name, x in (("loud", loud), ("soft", soft))]
    together, _ = read_players(make_page(previews, 2))
    (alone,), _ = read_players(make_page(previews[1:], 1))
    assert together[1].picture != alone.picture


def test_a_sound_without_samples_has_no_player():
    empty = Preview("rain", np.zeros((1, 0), np.float32), RATE_HZ, (0.0, 0.0), 0.0)
    players, reader = read_players(make_page([empty], 3))
    assert players == [] and "rain has no samples" in reader.text
    assert "2 more are not shown" in reader.text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.0"),
        (59.96, "1:00.0"),
        (75.25, "1:15.2"),
        (3_600, "1:00:00.0"),
        (3_661.5, "1:01:01.5"),
    ],
)
def test_show_time(seconds, text):
    assert show_time(seconds) == text
