"""Kills, lost nodes, a store that is away and bad files: the same stems, and nothing is lost."""

import io
import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ray.cluster_utils import Cluster

from separator.errors import MediaError
from tests.helpers import media_files as make
from tests.helpers.job import check_whole, read_stems, run_job, start_job, write_config
from tests.helpers.kills import kill_driver, kill_one

EDITS = [
    "output.residual=per_query",
    "output.renditions=[{name: quiet, gains_db: {siren: -inf}, loudness_lufs: -30}]",
    "output.remux=replace",
]


def wait_for(process: subprocess.Popen, folder: Path, pattern: str, timeout_s: float = 200) -> None:
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        if list(folder.rglob(pattern)):
            return
        time.sleep(0.05)


def finish(process: subprocess.Popen, code: int = 3) -> None:
    _, err = process.communicate(timeout=1_500)
    assert process.returncode == code, err[-3_000:]


@pytest.mark.slow
@pytest.mark.check
def test_run_survives_the_end_of_its_driver(library, finished, tmp_path):
    """SIGTERM, then SIGKILL in the middle of the run, then the same command: the same stems."""
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    process = start_job(config)
    wait_for(process, out, "record.json")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in err
    assert "Traceback" not in err
    (run,) = (out / "runs").glob("*.json")
    assert json.loads(run.read_text())["state"] == "stopped"
    num_made = len(list(out.rglob("*.flac")))
    process = start_job(config)
    while process.poll() is None and len(list((out / "runs").glob("*.json"))) == 1:
        time.sleep(0.05)
    # A second run on the same output meanwhile refuses; once the first is dead it goes on.
    before = sorted((out / "runs").iterdir())
    assert "is at work on all of it" in run_job(config, code=2)
    assert sorted((out / "runs").iterdir()) == before and process.poll() is None
    while process.poll() is None and len(list(out.rglob("*.flac"))) <= num_made:
        time.sleep(0.05)
    kill_driver(process)
    run_job(config, code=3)
    assert read_stems(out) == read_stems(finished / "out")
    check_whole(out)


@pytest.mark.slow
@pytest.mark.check
def test_sigterm_while_ray_starts_is_told_as_at_any_other_time(library, tmp_path):
    """Ray has a handler of its own then."""
    process = start_job(write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out")))
    assert process.stdout
    while "starting Ray" not in (line := process.stdout.readline()):
        assert line, "the job has ended"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):  # of somebody impatient
        time.sleep(0.7)
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in err


@pytest.mark.slow
@pytest.mark.check
def test_run_survives_a_kill_of_its_network_and_of_a_worker(library, finished, tmp_path):
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    process = start_job(config)
    wait_for(process, out, "*.flac")
    assert kill_one(process, "actor") and kill_one(process, "worker")
    finish(process)
    assert read_stems(out) == read_stems(finished / "out")
    check_whole(out)


@pytest.fixture(scope="session")
def edited(library, tmp_path_factory) -> Path:
    """As `finished`, with residuals, a mix, and the mix put back. Not to be changed."""
    folder = tmp_path_factory.mktemp("edited")
    config = write_config(folder / "config.yaml", str(library), str(folder / "out"))
    run_job(config, *EDITS, code=3)
    assert len(list((folder / "out").rglob("residual/*.flac"))) == 6
    assert len(list((folder / "out").rglob("remux/quiet.*"))) == 3
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_run_survives_five_kills_at_random(request, library, tmp_path, seed):
    """Four times five: of anybody, at any time, until the work is done all the same. With and
    without residuals and all that is made of them."""
    finished = request.getfixturevalue("edited" if seed % 2 else "finished")
    overrides = EDITS if seed % 2 else []
    rng, out = random.Random(seed), tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    num_killed, told = 0, []
    while num_killed < 5:
        if told and told[-1] == "ended":
            shutil.rmtree(out)
        process = start_job(config, *overrides)
        wait_for(process, out, "runs/*.json")
        for _ in range(2):  # more often, and Ray gives a task up: that is another test
            time.sleep(rng.uniform(0, 12))
            kind = rng.choice(["driver", "actor", "worker"])
            if process.poll() is not None:
                break
            if kind == "driver":
                kill_driver(process)
                told.append("driver")
                num_killed += 1
                break
            if kill_one(process, kind):
                told.append(kind)
                num_killed += 1
        if process.returncode != -signal.SIGKILL:
            finish(process)
            told.append("ended")
    run_job(config, *overrides, code=3)
    assert read_stems(out) == read_stems(finished / "out"), told
    check_whole(out)


@pytest.mark.slow
def test_second_pass_assembles_stems_whose_tasks_died(library, finished, tmp_path):
    """Each of the two of `long.flac` loses its worker as often as Ray tries: the second pass makes
    them."""
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    process = start_job(config)
    for _ in range(2 * 3):
        assert kill_one(process, "assembler")
    finish(process)
    assert read_stems(out) == read_stems(finished / "out")
    check_whole(out)


@pytest.mark.slow
def test_run_survives_a_lost_node(library, finished, tmp_path, monkeypatch):
    """Two nodes, one of them taken away once stems have come out."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        second = cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        out = tmp_path / "out"
        config = write_config(tmp_path / "c.yaml", str(library), str(out))
        process = start_job(config)
        wait_for(process, out, "*.flac")
        assert process.poll() is None
        cluster.remove_node(second, allow_graceful=False)
        finish(process)
    finally:
        cluster.shutdown()
    assert read_stems(out) == read_stems(finished / "out")
    check_whole(out)
    (run,) = (out / "runs").glob("*.json")
    content = json.loads(run.read_text())
    # Two networks, one on each node: it was this cluster that did the work.
    assert content["totals"]["num_actors"] == 2 and content["totals"]["assets"] == 5


@pytest.mark.slow
def test_run_survives_a_store_that_is_away(library, finished, tmp_path, rgw_bucket):
    storage, root = rgw_bucket.storage, f"{rgw_bucket.uri}/out"
    for path in sorted(p for p in library.rglob("*") if p.is_file()):
        storage.upload(path, f"{rgw_bucket.uri}/in/{path.relative_to(library)}")
    config = write_config(tmp_path / "c.yaml", f"{rgw_bucket.uri}/in", root)
    settings = rgw_bucket.settings
    overrides = [
        f"storage.endpoint_url={settings.endpoint_url}",
        f"storage.checksums={settings.checksums}",
        f"storage.region={settings.region}",
    ]
    process = start_job(config, *overrides)
    deadline = time.monotonic() + 200
    while not list(storage.list(f"{rgw_bucket.uri}/", ["out/stems/**/*.flac"])):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    rgw_bucket.gateway.stop_gateway()
    time.sleep(10)
    rgw_bucket.gateway.start_gateway()
    finish(process)
    run_job(config, *overrides, code=3)
    uris = {e.uri.removeprefix(f"{root}/"): e.uri for e in storage.list(root, ["stems/**/*.flac"])}
    wanted = read_stems(finished / "out")
    assert uris.keys() == wanted.keys()
    for name, uri in uris.items():
        assert np.array_equal(read_samples(storage.read(uri)), read_samples(wanted[name]))


def make_poison(folder: Path) -> dict[str, Path]:
    """Small files of many kinds with something wrong with them."""
    made, rng = {}, np.random.default_rng(5)
    for name in ("x.wav", "x.flac", "x.m4a", "x.mp3", "x.mkv", "x.mov"):
        path = make.write(folder / f"whole-{name}", make.make_noise(1, 96_000, 16), layout="mono")
        data = path.read_bytes()
        for share in (0.0, 0.02, 0.3, 0.7):
            cut = folder / f"cut-{share}-{name}"
            cut.write_bytes(data[: int(len(data) * share)])
        (folder / f"garbage-{name}").write_bytes(rng.bytes(20_000))
        (folder / f"middle-{name}").write_bytes(
            data[: len(data) // 2] + rng.bytes(len(data) - len(data) // 2)
        )
        path.unlink()
    make.write_picture(folder / "silent film.mp4", 0.2)
    (folder / "text.mp4").write_text("This is not a film. " * 1_000)
    playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{folder}/secret.wav\n"
    (folder / "playlist.mp4").write_text(playlist)
    (folder / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {folder}/secret.wav\n")
    for path in sorted(folder.iterdir()):
        made[str(path)] = path
    return made


@pytest.mark.slow
def test_bad_files_fail_alone(library, finished, tmp_path):
    """Every good asset is right, every bad one has its record, as the decoder alone judges it."""
    mixed, out = tmp_path / "library", tmp_path / "out"
    shutil.copytree(library, mixed)
    (mixed / "poison").mkdir()
    wanted = {}
    for uri, path in make_poison(mixed / "poison").items():
        try:
            make.read(path)
            wanted[uri] = ""
        except MediaError as error:
            wanted[uri] = error.code
    assert len(set(wanted.values())) >= 4 and len(wanted) > 35
    config = write_config(tmp_path / "c.yaml", str(mixed), str(out))
    run_job(config, code=3)
    manifest = check_whole(out)
    found = {uri: rows.iloc[0] for uri, rows in manifest.groupby("asset_uri") if uri in wanted}
    assert {uri: row.error_code for uri, row in found.items()} == wanted
    assert not manifest[manifest.status == "failed"].error_detail.str.contains("\n").any()
    stems = read_stems(out)
    for name, data in read_stems(finished / "out").items():
        assert np.array_equal(read_samples(stems[name]), read_samples(data))


def read_samples(data: bytes) -> np.ndarray:
    """Without the tag that says where it came from."""
    return soundfile.read(io.BytesIO(data))[0]
