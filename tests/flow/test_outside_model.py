"""The job with a model that another package brings: stems, residuals, manifest, a second run."""

import numpy as np
import pytest
import soundfile

from tests.helpers.job import check_whole, run_job
from tests.helpers.outside import install_bandpass

RATE_HZ = 48_000


@pytest.mark.slow
def test_run_separates_by_a_model_of_another_package(tmp_path, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    t = np.arange(5 * RATE_HZ) / RATE_HZ
    low, high = (0.2 * np.sin(2 * np.pi * freq_hz * t) for freq_hz in (300, 4_000))
    soundfile.write(library / "tones.wav", low + high, RATE_HZ, "PCM_24")
    config = tmp_path / "job.yaml"
    config.write_text(
        f"input: {{uri: {library}}}\noutput: {{uri: {tmp_path / 'out'}, residual: per_query}}\n"
        "queries: [300 Hz, {name: high, text: 4000 Hz}]\n"
        "model: {name: band-pass, device: cpu}\nrun: {span_s: 2}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(install_bandpass(tmp_path)))
    run_job(config)
    manifest = check_whole(tmp_path / "out")
    assert list(manifest.status) == ["ok", "ok"] and list(manifest.model_name) == ["band-pass"] * 2
    row = manifest.set_index("query_name").loc["high"]
    stem, _ = soundfile.read(row.stem_uri, dtype="int32")
    rest, _ = soundfile.read(row.residual_uri, dtype="int32")
    original, _ = soundfile.read(library / "tones.wav", dtype="int32")
    np.testing.assert_array_equal((stem + rest) >> 8, original >> 8)
    middle = slice(RATE_HZ, 4 * RATE_HZ)
    error = stem[middle] / 2**31 - high[middle]
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert "nothing to do" in run_job(config)
