"""Run the job on a small library as a user would, and read what it wrote."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from separator.sounds.catalog import make_sound

ROOT = Path(__file__).parents[2]
RATE_HZ = 32_000
MAX_LOOKS = 30_000
MAX_STARTS, BUSY = 3, "Ray does not start on this machine"
QUERIES = '["a person speaking", {name: siren, text: "an emergency siren"}]'
SETTINGS = "model: {name: mini, device: cpu, precision: fp32}\nrun: {span_s: 8}\n"


def write_sound(path: Path, kinds: tuple[str, ...], seconds: float, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sounds = [make_sound(kind, seed, round(seconds * RATE_HZ)) for kind in kinds]
    mixture_T = np.sum([s / np.abs(s).max() for s in sounds], 0)
    soundfile.write(path, 0.5 * mixture_T / np.abs(mixture_T).max(), RATE_HZ)


def make_once(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder for all processes of a test run: the first one makes it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "shared" / name
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done := folder.with_suffix(".done")).exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed at it
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def make_library(folder: Path) -> None:
    """Two short assets, one of two channels and several spans, and two that are broken."""
    write_sound(folder / "talk.wav", ("man", "siren"), 3, 1)
    write_sound(folder / "sub dir/rain ü.wav", ("rain", "bell"), 2, 2)
    write_sound(folder / "mono.wav", ("woman", "drums"), 21, 3)
    left, _ = soundfile.read(folder / "mono.wav")
    soundfile.write(folder / "long.flac", np.stack([left, 0.5 * left[::-1]], 1), RATE_HZ)
    (folder / "mono.wav").unlink()
    (folder / "broken.mp4").write_bytes(b"not a video " * 1_000)
    whole = (folder / "talk.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no media")


def write_config(path: Path, library_uri: str, output_uri: str, queries: str = QUERIES) -> Path:
    path.write_text(
        f"input: {{uri: '{library_uri}'}}\noutput: {{uri: '{output_uri}'}}\n"
        f"queries: {queries}\n{SETTINGS}"
    )
    return path


def start_job(
    config: Path,
    *overrides: str,
    before: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen:
    """`before`: a program with arguments that starts the command, `setpriv` for instance."""
    command = [*before, sys.executable, "-m", "jobs.separate", str(config), *overrides]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    usual = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": path}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | usual | dict(environment or {}),
    )


def run_job(config: Path, *overrides: str, code: int = 0, **options: Any) -> str:
    """Run the job to its end; again where the machine was too busy to start Ray."""
    for _ in range(MAX_STARTS):
        process = start_job(config, *overrides, **options)
        out, err = communicate(process)
        if BUSY not in err:
            break
    check_code(process, code, out, err)
    return out + err


def end_job(process: subprocess.Popen, code: int) -> tuple[str, str]:
    """Wait for the end of a job; return what it wrote to stdout and to stderr."""
    out, err = communicate(process)
    check_code(process, code, out, err)
    return out, err


def communicate(process: subprocess.Popen) -> tuple[str, str]:
    try:
        return process.communicate(timeout=1_500)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(30)
        raise


def check_code(process: subprocess.Popen, code: int, out: str, err: str) -> None:
    assert process.returncode == code, (process.returncode, out[-2_000:], err[-4_000:])


def end_in_one_line(process: subprocess.Popen, code: int, start: str) -> str:
    """Wait for the end of a job that says in its last line why it ended; return that line."""
    _, err = end_job(process, code)
    assert "Traceback" not in err, err[-4_000:]
    line = err.splitlines()[-1]
    assert line.startswith(start), err[-4_000:]
    return line


def wait_for(process: subprocess.Popen, folder: Path, pattern: str) -> None:
    """Wait until the folder holds a file of that name; the job is still at work then."""
    wait_until(lambda: list(folder.rglob(pattern)), process)


def wait_until(is_there: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Look again and again; the job must be still at work until then."""
    for _ in range(MAX_LOOKS):
        if is_there():
            return
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)
    pytest.fail(f"not there after {MAX_LOOKS:,} looks")


def wait_for_phase(process: subprocess.Popen, phase: str) -> None:
    """Wait until the job says on its console that it has come to this phase."""
    assert process.stdout
    while phase not in (line := process.stdout.readline()):
        assert line, process.communicate()


def read_tree(folder: Path) -> dict[str, bytes]:
    """All files of an output but what tells of runs: those differ from run to run."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    tree = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {name: data for name, data in tree.items() if name.startswith("stems/")}


def read_stems(folder: Path) -> dict[str, bytes]:
    return {name: d for name, d in read_tree(folder).items() if not name.endswith(".json")}


def read_manifest(folder: Path) -> pd.DataFrame:
    table = pd.read_parquet(folder / "manifest")
    return table.sort_values(["asset_uri", "track_index", "query_name"]).reset_index(drop=True)


def read_records(folder: Path) -> list[dict]:
    paths = sorted(folder.rglob("record.json"))
    return [row for path in paths for row in json.loads(path.read_text())["records"]]


def check_whole(folder: Path, root_uri: str = "") -> pd.DataFrame:
    """No stem without a record, no record without a stem, nothing twice, nothing left behind.
    `root_uri`: of the output that the folder is a copy of."""
    manifest = read_manifest(folder)
    keys = ["asset_uri", "track_index", "query_name"]
    assert not manifest.duplicated(keys).any()
    stems = {f"{root_uri or folder}/{name}" for name in read_stems(folder)}
    uris = set(manifest.stem_uri) | set(manifest.residual_uri) | set(manifest.remux_uri)
    assert stems == uris - {""}
    assert not list(folder.rglob(".*")), "parts or temporaries"
    records = read_records(folder)
    assert sorted(tuple(r[key] for key in keys) for r in records) == sorted(
        manifest[keys].itertuples(index=False, name=None)
    )
    assert {r["fingerprint"] for r in records} == set(manifest.fingerprint)
    return manifest
