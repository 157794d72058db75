"""Presence through whole runs: columns, a gate, absent stems through everything that follows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from separator.sounds.catalog import make_sound
from tests.helpers.job import RATE_HZ, check_whole, read_stems, run_job, write_config

QUERIES = "[siren, {name: rain, text: heavy rain}, {name: bell, text: a church bell}]"
GATE = "detect.gate=on"
START_S, STOP_S = 12.0, 18.0


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Rain throughout one file of several spans, a siren in its middle, no bell; and a bell."""
    folder = tmp_path_factory.mktemp("library")
    street_T = make_sound("rain", 3, 30 * RATE_HZ)
    siren_T = make_sound("siren", 4, round((STOP_S - START_S) * RATE_HZ))
    street_T *= 0.05 / np.sqrt(np.mean(street_T**2))
    siren_T *= 0.15 / np.sqrt(np.mean(siren_T**2))
    street_T[round(START_S * RATE_HZ) : round(STOP_S * RATE_HZ)] += siren_T
    soundfile.write(folder / "street.wav", street_T, RATE_HZ)
    soundfile.write(folder / "bell.wav", make_sound("bell", 5, 5 * RATE_HZ), RATE_HZ)
    return folder


def read_rows(out: Path) -> pd.DataFrame:
    rows = pd.read_parquet(out / "manifest")
    rows["asset"] = rows.asset_uri.map(lambda uri: Path(uri).name)
    return rows.set_index(["asset", "query_name"]).sort_index()


@pytest.mark.slow
@pytest.mark.check
def test_gate_makes_no_stem_of_what_is_heard_nowhere(library, tmp_path):
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out), QUERIES)
    assert "absent 3" in run_job(config, GATE, "output.residual=per_query")
    check_whole(out)
    rows = read_rows(out)
    assert set(rows.status[rows.stem_uri == ""]) == {"absent"}
    assert rows.status["street.wav", "siren"] == rows.status["bell.wav", "bell"] == "ok"
    stem, _ = soundfile.read(out / "stems/street.wav/track-0/siren.flac")
    time_s = np.arange(len(stem)) / RATE_HZ
    assert stem[(time_s >= START_S) & (time_s < STOP_S)].any()
    assert not stem[time_s < START_S - 4].any() and not stem[time_s >= STOP_S + 4].any()
    track, _ = soundfile.read(library / "street.wav", dtype="int16")
    rest, _ = soundfile.read(out / "stems/street.wav/track-0/residual/bell.flac", dtype="int32")
    np.testing.assert_array_equal(rest >> 16, track)


@pytest.mark.slow
def test_absent_stems_through_gate_added_query_residuals_and_export(library, tmp_path):
    free, out = tmp_path / "free", tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out), "[siren]")
    run_job(config, f"output.uri={free}", f"queries={QUERIES}")
    told = read_rows(free)
    assert set(told.status) == {"ok"} and set(told.presence_by) == {"classes"}
    (stretch,) = told.presence["street.wav", "siren"]
    assert stretch["start_s"] == pytest.approx(START_S, abs=1)
    assert stretch["stop_s"] == pytest.approx(STOP_S, abs=1) and 0.5 < stretch["score"] <= 1
    assert len(told.presence["street.wav", "bell"]) == 0
    assert told.presence_share["street.wav", "rain"] > 0.3

    run_job(config, GATE)  # one query ...
    assert "absent 2" in run_job(config, GATE, f"queries={QUERIES}")  # ... then two more
    rows = read_rows(out)
    assert rows.status["bell.wav", "siren"] == rows.status["street.wav", "bell"] == "absent"
    assert rows.status["street.wav", "siren"] == rows.status["bell.wav", "bell"] == "ok"
    stems = read_stems(out)
    assert "stems/street.wav/track-0/bell.flac" not in stems
    check_whole(out)
    # Near the siren the stem is what it is without a gate, elsewhere it is silence.
    name = "stems/street.wav/track-0/siren.flac"
    (gated, _), (whole, _) = (soundfile.read(folder / name) for folder in (out, free))
    time_s = np.arange(len(gated)) / RATE_HZ
    is_near = (time_s >= START_S) & (time_s < STOP_S)
    np.testing.assert_allclose(gated[is_near], whole[is_near], atol=1e-5)
    assert not gated[time_s < START_S - 4].any() and not gated[time_s >= STOP_S + 4].any()
    assert "nothing to do" in run_job(config, GATE, f"queries={QUERIES}")
    # Another threshold makes stems again, but not those whose scores it leaves absent.
    before = read_rows(out)
    run_job(config, GATE, "detect.threshold=0.6", f"queries={QUERIES}")
    rows = read_rows(out)
    is_again = rows.run_id != before.run_id
    assert set(rows.status[is_again]) == {"ok"} and set(rows.status[~is_again]) == {"absent"}
    assert is_again.sum() == 3

    edits = [
        GATE,
        f"queries={QUERIES}",
        "output.residual=per_query",
        "output.renditions=[{name: dry, gains_db: {bell: -inf, rain: -inf}},"
        "{name: soft, gains_db: {siren: -60}, within_s: presence}]",
    ]
    run_job(config, *edits)
    check_whole(out)
    track, _ = soundfile.read(library / "street.wav", dtype="int16")
    rest, _ = soundfile.read(out / "stems/street.wav/track-0/residual/bell.flac", dtype="int32")
    np.testing.assert_array_equal(rest >> 16, track)
    soft, _ = soundfile.read(out / "stems/street.wav/track-0/rendition/soft.flac", dtype="int32")
    differs = (soft >> 8) != (track.astype(np.int32) << 8)
    assert not differs[time_s < START_S - 4].any() and differs[is_near].mean() > 0.5
    record = json.loads((out / "stems/street.wav/record.json").read_text())
    statuses = {row["query_name"]: row["status"] for row in record["records"]}
    assert statuses == {"bell": "absent", "dry": "ok", "rain": "ok", "siren": "ok", "soft": "ok"}
