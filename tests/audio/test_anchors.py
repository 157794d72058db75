import numpy as np
import pytest

from separator.audio.anchors import find_anchor
from tests.helpers import golden_zs


def test_segments_are_those_of_the_official_code():
    data = golden_zs.load_arrays("zsasp")
    ours = [find_anchor(curve) for curve in data["presence"]]
    expected = zip(data["begin_sample"].tolist(), data["end_sample"].tolist(), strict=True)
    assert ours == list(expected)
    whole = [find_anchor(np.repeat(curve, 32)) for curve in data["presence"]]
    assert whole == ours


def test_segment_of_an_even_curve_and_of_the_ends():
    curve = np.zeros(1024, np.float32)
    curve[1000:] = 1
    assert find_anchor(curve) == (256_000, 320_000)
    curve = np.zeros(1024, np.float32)
    curve[0] = 1
    assert find_anchor(curve) == (0, 64_000)


@pytest.mark.parametrize("shape", [(0,), (33,), (2, 512)])
def test_other_curves_are_refused(shape):
    with pytest.raises(ValueError, match="1024 rows"):
        find_anchor(np.zeros(shape))
