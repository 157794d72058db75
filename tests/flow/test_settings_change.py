"""Two settings on one output: a run that was killed while it replaced stems tells no lie later."""

import os
import signal
import time

import pytest

from tests.helpers.job import check_whole, read_stems, run_job, start_job, write_config, write_sound


@pytest.mark.slow
def test_stems_that_a_killed_run_replaced_are_made_again(tmp_path):
    """Settings A; then B, killed after its first stem and before any commit; then A again."""
    library, out = tmp_path / "library", tmp_path / "out"
    write_sound(library / "x.wav", ("man", "siren"), 20, 1)
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    run_job(config)
    before = read_stems(out)
    stem = out / "stems/x.wav/track-0/a-person-speaking.flac"
    process = start_job(config, "output.bit_depth=16")
    try:
        while stem.read_bytes() == before[str(stem.relative_to(out))] and process.poll() is None:
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert read_stems(out) != before
    # A run that does not see the asset, as if its disk were away, settles nothing of it.
    (library / "x.wav").rename(tmp_path / "x.wav")
    write_sound(library / "y.wav", ("man", "siren"), 3, 2)
    run_job(config)
    (tmp_path / "x.wav").rename(library / "x.wav")
    for path in (out / "runs").glob("*.json"):
        os.utime(path, (0, 0))  # nor do the times of files count
    run_job(config)
    found = read_stems(out)
    assert {name: found[name] for name in before} == before
    check_whole(out)
    assert "nothing to do" in run_job(config)
    assert not list((out / "withdrawn").iterdir())
