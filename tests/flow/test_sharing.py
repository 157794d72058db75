"""An actor with several spans in work: the stems of a run with another number of them."""

import json

import numpy as np
import pytest
import soundfile

from tests.helpers.job import check_whole, read_stems, run_job, write_config, write_sound


@pytest.mark.slow
def test_stems_do_not_depend_on_how_many_spans_are_in_work(tmp_path):
    """Seven assets, each of which fills a block of Ray Data."""
    for seed in range(7):
        write_sound(tmp_path / f"in/{seed}.wav", ("siren", "rain"), 24 + seed % 3, seed)
    trees = {}
    for at_once in (1, 2, 4):
        out = tmp_path / f"out-{at_once}"
        config = write_config(tmp_path / "c.yaml", str(tmp_path / "in"), str(out), "[siren, rain]")
        run_job(config, f"run.separate.spans_at_once={at_once}", "output.residual=per_query")
        rows = check_whole(out)
        assert list(rows.status) == ["ok"] * 14 and rows.similarity.notna().all()
        trees[at_once] = read_stems(out)
        (run,) = (out / "runs").glob("*.json")
        assert 0 < json.loads(run.read_text())["device_busy"] <= 1  # who wait together count once
    assert trees[2] == trees[4] and len(trees[2]) == 28
    assert trees[1].keys() == trees[2].keys()
    for path in trees[1]:
        one, two = (soundfile.read(tmp_path / f"out-{n}" / path)[0] for n in (1, 2))
        np.testing.assert_allclose(one, two, atol=1e-6)
