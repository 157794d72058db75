"""The job with a checkpoint as AudioSep publishes it: both parts in one file, weights at random."""

import numpy as np
import pytest
import soundfile

from separator.encoders.clap import load_clap
from tests.helpers import golden
from tests.helpers.job import check_whole, run_job, write_config, write_sound

TEXTS = ["a person speaking", "an emergency siren"]


@pytest.mark.slow  # the network in its full size
def test_audiosep_with_its_own_encoder(clap_state, tokenizer_path, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATOR_HOME", str(tokenizer_path.parent))
    extra = {f"query_encoder.model.{name}": t for name, t in clap_state.items()}
    checkpoint = golden.write_official_checkpoint(tmp_path / "both.ckpt", extra)
    write_sound(tmp_path / "in/talk.wav", ("man", "siren"), 1.5, 1)
    config = write_config(
        tmp_path / "c.yaml", str(tmp_path / "in"), str(tmp_path / "out"), str(TEXTS)
    )
    run_job(config, f"model.name={checkpoint}", "output.residual=per_query")
    manifest = check_whole(tmp_path / "out")
    assert list(manifest.query_text) == TEXTS and set(manifest.null_error) == {0}
    # The referee is laion-clap, on what lies there.
    encoder = load_clap(clap_state, tokenizer_path)
    for row, condition_D in zip(manifest.itertuples(), encoder.encode_texts(TEXTS), strict=True):
        for uri, found in (
            (row.stem_uri, row.similarity),
            (row.residual_uri, row.residual_similarity),
        ):
            samples_TC, rate_hz = soundfile.read(uri, dtype="float32", always_2d=True)
            expected = encoder.encode_audio(samples_TC.T, rate_hz) @ condition_D
            np.testing.assert_allclose(found, expected, atol=1e-3)
    assert len(set(manifest.similarity) | set(manifest.residual_similarity)) == 4
