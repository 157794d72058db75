"""Sick devices, actors that do not start, machines that do not come: on a simulated cluster."""

import contextlib
import json
import os
import re
import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ray._private.internal_api import get_memory_info_reply, get_state_from_address
from ray.cluster_utils import Cluster
from ray.util.state import list_tasks

from tests.helpers.job import ROOT, check_whole, end_in_one_line, end_job, start_job
from tests.helpers.sick import install_sick

RATE_HZ = 16_000
NUM_ASSETS, ASSET_S = 40, 30  # two spans fill a block of Ray Data
ASSERT = "RuntimeError: CUDA error: device-side assert triggered"
LACK = "waiting for a GPU: the actors ask for num_gpus=1, the cluster has 0"
AUTO = "model.precision=auto"
STORE_BYTES = 300_000_000
FALLEN = "OSError: the card has fallen out"


@contextlib.contextmanager
def joined_cluster(monkeypatch, **head: Any) -> Iterator[Cluster]:
    """A machine with CPUs and GPUs as it is told; torch, which sees no GPU, computes on the CPU."""
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    finally:
        cluster.shutdown()


def write_job(folder: Path, monkeypatch, faults: Mapping[str, str]) -> Path:
    """A library of noises, and a config whose model meets the faults in all processes."""
    (folder / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(NUM_ASSETS):
        noise_T = 0.1 * rng.standard_normal(ASSET_S * RATE_HZ)
        soundfile.write(folder / "in" / f"{number:02}.wav", noise_T, RATE_HZ, "PCM_24")
    config = folder / "job.yaml"
    config.write_text(
        f"input: {{uri: {folder / 'in'}}}\noutput: {{uri: {folder / 'out'}}}\n"
        "queries: [300 Hz]\nmodel: {name: sick, precision: fp32}\ndetect: {model: off}\n"
    )
    site = install_sick(folder, faults)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    return config


def find_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def read_metrics(port: int) -> set[str]:
    """Name our metrics that the machine offers to Prometheus at present."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:  # not yet
        return set()
    return set(re.findall(r"^ray_(separator_\w+)", text, re.M))


@pytest.mark.slow
def test_long_assets_stay_inside_the_object_store_without_spilling(tmp_path, monkeypatch):
    """1.8 GB of samples through a store of 300 MB, which may not spill to a disk."""
    config = write_job(tmp_path, monkeypatch, {})
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    noise_T = 0.1 * np.random.default_rng(0).standard_normal(600 * RATE_HZ)
    with soundfile.SoundFile(tmp_path / "in/0.flac", "w", RATE_HZ, 2, "PCM_16") as file:
        for _ in range(2):
            file.write(np.stack([noise_T, noise_T], 1))
    for number in range(1, 4):
        shutil.copy(tmp_path / "in/0.flac", tmp_path / f"in/{number}.flac")
    monkeypatch.setenv("RAY_automatic_object_spilling_enabled", "0")
    with joined_cluster(monkeypatch, num_cpus=3, object_store_memory=STORE_BYTES) as cluster:
        process, most = start_job(config, "output.residual=per_query"), 0
        while process.poll() is None:
            time.sleep(0.5)
            most = max(most, measure_fallback(cluster))
        end_job(process, 0)
    assert list(check_whole(tmp_path / "out").status) == ["ok"] * 4
    assert most == 0


def measure_fallback(cluster: Cluster) -> int:
    """Bytes of objects that the store put on a disk, as its memory was full."""
    state = get_state_from_address(cluster.address)
    stats = get_memory_info_reply(state).store_stats
    return stats.object_store_bytes_fallback + stats.spilled_bytes_total


def read_run(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "out/runs").glob("*.json")
    return json.loads(path.read_text())


@pytest.mark.slow
def test_run_goes_on_without_a_sick_device_and_loses_nothing(tmp_path, monkeypatch):
    """Of four, one fails always, one once at its start, and one's process is asked to exit."""
    faults = {"0": "start once", "1": "exit once", "2": "assert"}
    config = write_job(tmp_path, monkeypatch, faults)
    (port,) = find_ports(1)
    with joined_cluster(monkeypatch, num_cpus=3, num_gpus=4, metrics_export_port=port):
        process, seen = start_job(config), set()
        while process.poll() is None:
            time.sleep(1)
            seen |= read_metrics(port)
        text, _ = end_job(process, 0)
    assert list(check_whole(tmp_path / "out").status) == ["ok"] * NUM_ASSETS
    devices, host = read_run(tmp_path)["devices"], socket.gethostname()
    assert devices["left_out"] == {f"{host} GPU 2": ASSERT}
    failures = devices["failures"]
    assert failures.pop(f"{host} GPU 2") >= 3
    assert failures == {f"{host} GPU 0": 1, f"{host} GPU 1": 1}
    assert f"left out: {ASSERT}" in text
    assert seen >= {"separator_assets_total", "separator_device_busy", "separator_open_assets"}
    # Ray's own account names the stages.
    assert "FlatMap(Publish)" in str(read_run(tmp_path)["ray_data"])


@pytest.mark.slow
def test_run_ends_where_no_actor_starts_three_times_in_a_row(tmp_path, monkeypatch):
    config = write_job(tmp_path, monkeypatch, {"CPU": "start"})
    line = end_in_one_line(start_job(config), 1, "python -m jobs.separate: no device is left")
    assert line.endswith(f"the last failure: {socket.gethostname()} CPU: {FALLEN}")


@pytest.mark.slow
def test_stages_take_only_machines_with_their_labels(tmp_path, monkeypatch):
    config = write_job(tmp_path, monkeypatch, {})
    labels = "run.separate.labels={disk: fast}", "run.publish.labels={disk: slow}"
    with joined_cluster(monkeypatch, num_cpus=2, labels={"disk": "slow"}) as cluster:
        process = start_job(config, *labels, "run.no_progress_s=30")
        start = "python -m jobs.separate: nothing has moved for run.no_progress_s=30 seconds: "
        line = end_in_one_line(process, 1, start)
        assert line.endswith("the actors ask for one with the labels disk=fast")
        fast = cluster.add_node(num_cpus=2, labels={"disk": "fast"})
        end_job(start_job(config, *labels), 0)
        ran_on: dict[bool, set[str]] = {False: set(), True: set()}
        for task in list_tasks(address=cluster.address, limit=10_000):
            if task["node_id"]:  # those of the first run found no machine
                ran_on[task["node_id"] == fast.node_id].add(task["name"])
        assert "FlatMap(Publish)" in ran_on[False] and "FlatMap(Publish)" not in ran_on[True]
        assert any("SeparateActor" in name for name in ran_on[True])
        assert not any("SeparateActor" in name for name in ran_on[False])
    assert list(check_whole(tmp_path / "out").status) == ["ok"] * NUM_ASSETS


@pytest.mark.slow
def test_run_says_that_it_waits_for_machines_and_for_how_long(tmp_path, monkeypatch):
    config = write_job(tmp_path, monkeypatch, {})
    with joined_cluster(monkeypatch, num_cpus=1):
        process = start_job(config, "model.device=cuda", "run.actors=1", "run.no_progress_s=30")
        start = "python -m jobs.separate: nothing has moved for run.no_progress_s=30 seconds: "
        line = end_in_one_line(process, 1, start)
        assert line.endswith(LACK)
        process = start_job(config, "model.device=cuda", "run.no_progress_s=15", AUTO)
        line = end_in_one_line(process, 1, "python -m jobs.separate: no machine could be asked")
        assert f"seconds: {LACK}; " in line


@pytest.mark.slow
def test_a_bug_that_every_asset_meets_ends_the_run_soon(tmp_path, monkeypatch):
    config = write_job(tmp_path, monkeypatch, {"CPU": "bug"})
    _, err = end_job(start_job(config), 1)
    assert re.search(r"BugError: \d+ assets met a bug; the first of them:", err), err[-4_000:]
    assert "TypeError: a bug" in err
    assert (tmp_path / "mark-bugs").stat().st_size < NUM_ASSETS
