"""The demo, which a new user sees first."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from jobs.demo import print_closeness, show
from jobs.demo_library import (
    RATE_HZ,
    RECORDED,
    Scene,
    fetch_recordings,
    list_recordings,
    mix_scene,
)
from tests.helpers.job import ROOT, check_whole
from tests.helpers.packages import build_deb, encode_g722, make_tone

# Of the bundled model on the demo's sounds; a stem that is no better than the mixture is no stem.
MIN_GAIN_DB = 1.0


def run_demo(folder) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jobs.demo", str(folder), "--recordings"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert "Traceback" not in done.stderr
    return done.stdout


def build_packages(folder) -> None:
    """Build packages with tones in place of the recordings, of the lengths in the list."""
    files: dict[str, dict[str, bytes]] = {}
    recordings = [r for members in list_recordings().values() for r in members]
    for i, r in enumerate(recordings):
        tone = make_tone(r.seconds, 16_000, 220.0 * (i + 1))
        data = encode_g722(tone) if r.path.endswith(".g722") else tone
        files.setdefault(r.package, {})[r.path] = data
    folder.mkdir(parents=True)
    for package, members in files.items():
        build_deb(folder, package, members)


def test_recordings_are_mixed_as_they_are(tmp_path):
    build_packages(tmp_path / "archives")
    lines: list[str] = []
    assert fetch_recordings(tmp_path, lines.append) and len(lines) == 2
    assert fetch_recordings(tmp_path, lines.append) and len(lines) == 2  # nothing is brought twice
    for scene in RECORDED.values():
        for _, kinds in scene.tracks:
            mixture_T, truth = mix_scene(scene, kinds, tmp_path)
            assert len(mixture_T) == scene.seconds * RATE_HZ and tuple(truth) == kinds
            np.testing.assert_allclose(mixture_T, sum(truth.values()), atol=1e-6)
            one, other = (np.square(sound_T).sum() for sound_T in truth.values())
            assert 10 * abs(np.log10(one / other)) < 0.1


def test_recordings_that_cannot_be_had_are_one_line_each_and_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no apt-get
    lines: list[str] = []
    assert not fetch_recordings(tmp_path, lines.append)
    assert len(lines) == 2 and all("is left out: apt-get" in line for line in lines)


def test_reason_why_recordings_cannot_be_had_is_shown_whole(tmp_path, monkeypatch, capsys):
    (tmp_path / "bin").mkdir()
    client = tmp_path / "bin/apt-get"
    client.write_text("#!/bin/sh\necho 'E: Could not resolve packages.invalid' >&2\nexit 100\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(client.parent))
    assert not fetch_recordings(tmp_path, show)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert " ".join(said.split()).count("E: Could not resolve packages.invalid") == 2
    assert "apt-get --quiet download scorched3d-data: exit code 100" in " ".join(said.split())


def test_closeness_tells_which_stem_is_missing(tmp_path, capsys):
    scene = Scene(1.0, (("eng", ("rain", "siren")),))
    mixture_T, truth = mix_scene(scene, ("rain", "siren"), tmp_path)
    folder = tmp_path / "stems/garden.mov/track-0"
    folder.mkdir(parents=True)
    soundfile.write(folder / "siren.flac", (mixture_T + truth["siren"]) / 2, RATE_HZ)
    print_closeness(tmp_path, {"garden.mov": scene}, tmp_path)
    siren, rain = capsys.readouterr().out.splitlines()[1:]
    assert siren.split()[:3] == ["garden.mov", "0", "siren"] and siren.endswith(" dB")
    assert rain.split() == ["garden.mov", "0", "rain", "no", "stem"]


@pytest.mark.slow
@pytest.mark.check
def test_demo_separates_and_has_nothing_to_do_when_run_again(tmp_path):
    build_packages(tmp_path / "recordings/archives")  # found there, and not downloaded
    out = run_demo(tmp_path)
    assert max(len(line.replace(str(tmp_path), "demo")) for line in out.splitlines()) <= 80
    gains = [
        float(after) - float(before)
        for before, after in re.findall(r"(-?[\d.]+) dB +(-?[\d.]+) dB", out)
    ]
    assert len(gains) == 16 and min(gains[:12]) > MIN_GAIN_DB, gains  # the last are of tones
    manifest = check_whole(tmp_path / "output")
    failed = manifest[manifest.status == "failed"]
    assert len(manifest) == 36
    assert set(failed.asset_uri) == {str(tmp_path / "library/broken.mp4")}
    assert set(manifest.track_language) == {"", "eng", "deu", "fra"}
    # The page shows every stem that was made.
    report = tmp_path / "output/report"
    assert (report / "index.html").exists() and "report/index.html" in out
    assert len(list((report / "previews").rglob("*.js"))) == (manifest.stem_uri != "").sum()
    assert "failed before 1" in run_demo(tmp_path)
