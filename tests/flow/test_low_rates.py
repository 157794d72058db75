"""Sound of old tapes and telephones: stems keep a track's rate, from 1 kHz on."""

from pathlib import Path

import numpy as np
import pytest

from separator.audio.renditions import Edits
from separator.media.encode_settings import EncodeSettings
from separator.media.probe import probe
from separator.results.paths import Layout
from separator.stages.publish import Publisher
from separator.storage import Storage
from tests.helpers import media_files as make
from tests.helpers.stages import make_stage, run_stages

# Slow, but run by `make check`.
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("rate_hz", "form"), [(5_000, "flac"), pytest.param(1_000, "mp3", marks=SLOW)]
)
def test_stems_have_the_low_rate_of_their_track(rate_hz: int, form: str, tmp_path: Path) -> None:
    tones_CT = make.make_tones(1, 6 * rate_hz, rate_hz)
    path = make.write(tmp_path / "x.wav", tones_CT, rate_hz=rate_hz, layout="mono")
    publisher = Publisher(Storage(), Layout(str(tmp_path / "out"), form), EncodeSettings(form), "r")
    records = run_stages(path, make_stage(), publisher, Edits(), span_s=2.0)
    assert {(r["status"], r["rate_hz"], r["num_samples"]) for r in records} == {
        ("ok", rate_hz, 6 * rate_hz)
    }
    stem = Path(records[0]["stem_uri"])
    # mp3 starts at 8 kHz: ffmpeg resamples for it.
    assert probe(stem).tracks[0].rate_hz == (8_000 if form == "mp3" else rate_hz)
    samples_CT, _ = make.read(stem)
    assert np.isfinite(samples_CT).all() and samples_CT.any()


def test_rates_below_1_khz_fail_typed(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.wav", make.make_tones(1, 900), rate_hz=900, layout="mono")
    publisher = Publisher(Storage(), Layout(str(tmp_path / "out"), "flac"), EncodeSettings(), "r")
    records = run_stages(path, make_stage(), publisher, Edits())
    assert {(r["status"], r["error_code"]) for r in records} == {("failed", "bad_rate")}
