"""The demo, which a new user sees first."""

import os
import re
import subprocess
import sys

import pytest

from tests.helpers.job import ROOT, check_whole

# Of the bundled model on the demo's sounds; a stem that is no better than the mixture is no stem.
LEAST_GAIN_DB = 1.0


def run_demo(folder) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jobs.demo", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.check
def test_demo_separates_and_has_nothing_to_do_when_run_again(tmp_path):
    out = run_demo(tmp_path)
    assert max(len(line.replace(str(tmp_path), "demo")) for line in out.splitlines()) <= 80
    gains = [
        float(after) - float(before)
        for before, after in re.findall(r"(-?[\d.]+) dB +(-?[\d.]+) dB", out)
    ]
    assert len(gains) == 12 and min(gains) > LEAST_GAIN_DB, gains
    manifest = check_whole(tmp_path / "output")
    failed = manifest[manifest.status == "failed"]
    assert len(manifest) == 28
    assert set(failed.asset_uri) == {str(tmp_path / "library/broken.mp4")}
    assert set(manifest.track_language) == {"", "eng", "deu"}
    # The page shows every stem that was made.
    report = tmp_path / "output/report"
    assert (report / "index.html").exists() and "report/index.html" in out
    assert len(list((report / "previews").rglob("*.js"))) == (manifest.stem_uri != "").sum()
    assert "failed before 1" in run_demo(tmp_path)
