"""The picture of a case: made of the spectrograms that all parts of the project draw."""

import io

import numpy as np
from PIL import Image

from separator.audio.pictures import COLORS
from separator.evaluation.case_pictures import draw_case

RATE_HZ = 16_000


def find_color(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Return the columns of a picture in which about this color is seen: it has been scaled."""
    return np.flatnonzero((np.abs(picture.astype(int) - color) < 25).all(2).any(0))


def test_draw_case_shows_all_sounds_in_the_scale_of_the_mixture():
    tone_T = np.sin(2 * np.pi * 1_000 * np.arange(RATE_HZ) / RATE_HZ)
    silent_T = np.zeros(RATE_HZ)
    png = draw_case(tone_T, silent_T, tone_T, RATE_HZ, "a very long query " * 20)
    picture = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    quarters = np.array_split(np.arange(picture.shape[1]), 4)
    dark, bright = find_color(picture, COLORS[0]), find_color(picture, COLORS[3])
    assert all(np.isin(quarter, dark).any() for quarter in quarters)
    is_bright = [bool(np.isin(quarter, bright).any()) for quarter in quarters]
    assert is_bright == [True, False, True, False]  # mixture, target, stem, residual
