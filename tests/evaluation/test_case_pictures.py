"""The picture of a case: made of the spectrograms that all parts of the project draw."""

import io

import numpy as np
from PIL import Image

from separator.audio.pictures import COLORS
from separator.evaluation.case_pictures import draw_case

RATE_HZ = 16_000


def share_color(picture: np.ndarray, color: tuple[int, int, int]) -> float:
    """Return the share of the pixels that have about this color: the picture has been scaled."""
    return float((np.abs(picture.astype(int) - color) < 25).all(2).mean())


def test_draw_case_shows_all_sounds_in_the_scale_of_the_mixture():
    noise_T, silent_T = np.random.default_rng(1).standard_normal(RATE_HZ), np.zeros(RATE_HZ)
    png = draw_case(noise_T, silent_T, noise_T, RATE_HZ, "a very long query " * 20)
    picture = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    mixture, target, stem, residual = np.array_split(picture, 4, axis=1)
    assert share_color(target, COLORS[0]) > 0.4 and share_color(residual, COLORS[0]) > 0.4
    assert share_color(mixture, COLORS[0]) < 0.05 and share_color(stem, COLORS[0]) < 0.05
