"""Test the detector of zero-shot separation in its full width: 202 M weights, in the gate only."""

import pytest

from separator.api import load_htsat
from tests.helpers import golden_zs
from tests.helpers.golden import relative_error

pytestmark = [pytest.mark.slow, pytest.mark.check]


def test_stsed_equals_official_output(tmp_path):
    path = golden_zs.write_official(tmp_path / "stsed.ckpt", golden_zs.make_state("stsed"))
    detector = load_htsat(path)
    waves, expected = golden_zs.load_tensors("htsat_inputs"), golden_zs.load_tensors("stsed")
    assert detector.net.config.width == 256 and len(detector.labels) == 527
    for length in ("2s", "10s"):
        tags = detector.infer(waves[f"wave_{length}"])
        for key, ours in zip(("framewise", "clipwise", "latent"), tags, strict=True):
            assert relative_error(ours, expected[f"{key}_{length}"]) < 1e-5, (key, length)
