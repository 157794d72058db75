"""The picture of a case: made of the spectrograms that all parts of the project draw."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from separator.audio.pictures import COLORS
from separator.evaluation.case_pictures import draw_case, write_plainly
from separator.evaluation.listed import draw
from separator.evaluation.protocol import Figure as Column
from separator.evaluation.protocol import Protocol, QuerySource, TableFile
from separator.evaluation.protocol_tables import draw_protocol

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


@pytest.mark.parametrize("text", ["$x_{$", "costs $5 {or $6", r"a \$ and $", "one $", "none"])
def test_write_plainly_draws_what_matplotlib_draws_without_formulas(text):
    drawn = []
    for shown, has_formulas in ((write_plainly(text), True), (text, False)):
        (figure := Figure()).text(0.1, 0.5, shown, parse_math=has_formulas)
        figure.savefig(out := io.BytesIO(), format="png", metadata={"Software": None})
        drawn.append(out.getvalue())
    assert drawn[0] == drawn[1]


def test_pictures_of_kinds_and_queries_with_dollars_are_drawn(tmp_path):
    noise_T, kinds = np.random.default_rng(1).standard_normal(RATE_HZ), ["$x_{$", "rain"]
    assert draw_case(noise_T, noise_T, noise_T, RATE_HZ, kinds[0])
    draw({kind: {"sdri_db": 1.0} for kind in [*kinds, "mean"]}, tmp_path / "listed.png")
    queries = {"a": QuerySource(text="a")}
    protocol = Protocol(
        kinds[0],
        "",
        TableFile("a.csv"),
        target="a",
        mixture="a",
        queries=queries,
        figures=[Column(kinds[0], "sdr_db")],
    )
    rows = [{"model": "m", "query": "a", "kind": kind, "set": "", "sdr_db": 1.0} for kind in kinds]
    draw_protocol(protocol, rows, [("m", "a")], tmp_path / "protocol.png")
    assert all(Image.open(path).size > (100, 100) for path in tmp_path.iterdir())
