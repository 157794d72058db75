"""The job through `ray job submit`, on a real cluster of one node with token authentication."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.helpers.job import ROOT, check_whole, read_stems, write_config

RAY = str(Path(sys.executable).with_name("ray"))
JOB_S = 400  # bound on a job of five small assets; 60 s on 2 idle cores
START_S = 180  # 20 s on idle cores
STARTS = 3
# What configs/local.yaml says differently from the config of the `finished` run.
OVERRIDES = ["model.device=cpu", "model.precision=fp32", "run.span_s=8", "run.failed_assets=ok"]


@dataclass(frozen=True)
class Cluster:
    """The address of a cluster, and the environment that its clients need."""

    url: str
    environment: dict[str, str] = field(repr=False)  # holds the token

    def run_ray(self, *arguments: str, timeout_s: float = 120) -> tuple[int, str]:
        done = subprocess.run(
            [RAY, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return done.returncode, done.stdout

    def submit(self, name: str, *options: str, job: list[str]) -> tuple[int, str]:
        """Followed to its end, unless told otherwise by `--no-wait`."""
        command = [sys.executable, "-m", "jobs.separate", *job]
        return self.run_ray(
            "job", "submit", "--submission-id", name, *options, "--", *command, timeout_s=JOB_S
        )

    def get(self, path: str, token: str | None = None) -> Any:
        token = self.environment["RAY_AUTH_TOKEN"] if token is None else token
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def read_job(self, name: str) -> dict[str, Any]:
        return self.get(f"/api/jobs/{name}")

    def list_actors(self, job_id: str) -> set[str]:
        """The classes of all actors that a job of this cluster has made, dead or alive."""
        actors = self.get("/api/v0/actors?limit=1000")["data"]["result"]["result"]
        return {actor["class_name"] for actor in actors if actor["job_id"] == job_id}


def find_ports(number: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in sockets]


def start(cluster: Cluster, folder: str, ports: list[str], log: Path) -> subprocess.Popen:
    """`ray start`, up. Its client server, which cannot be left out, waits 30 s for the node and
    takes the cluster along when it gives up; a machine at work may need a second start."""
    port, dashboard, agent, client = ports
    command = [RAY, "start", "--head", "--block", "--num-cpus=2", "--num-gpus=0"]
    command += [f"--port={port}", f"--temp-dir={folder}", f"--ray-client-server-port={client}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--dashboard-agent-listen-port={agent}", "--object-store-memory=300000000"]
    for _ in range(STARTS):
        with log.open("w") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, env=cluster.environment, stdout=out, stderr=subprocess.STDOUT
            )
        if wait_until_up(cluster, process, log):
            return process
        stop(process)
    raise AssertionError(log.read_text()[-3_000:])


def wait_until_up(cluster: Cluster, process: subprocess.Popen, log: Path) -> bool:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(1)
        if "block forever" not in log.read_text():
            continue
        with contextlib.suppress(OSError, ValueError):
            cluster.get("/api/jobs/")
            time.sleep(3)  # by now its client server has given up, if it did
            return process.poll() is None
    return False


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """One node, which ends by its own pid: `ray stop` would end every Ray of the machine."""
    ports = find_ports(4)
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",  # parts of Ray listen on all addresses, whatever they are told
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{ports[1]}",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # nobody needs the 30 s it waits otherwise
    }
    environment.pop("RAY_ADDRESS", None)  # else a job might find the cluster by this one
    cluster = Cluster(environment["RAY_API_SERVER_ADDRESS"], environment)
    log = tmp_path_factory.mktemp("cluster") / "ray.txt"
    # Not pytest's own folder: the names of Ray's sockets must stay under 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        process = start(cluster, folder, ports, log)
        try:
            yield cluster
        finally:
            stop(process)


def stop(process: subprocess.Popen) -> None:
    children = []
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    for child in children:  # what outlived it; psutil knows a pid that was given away since
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def check_that_it_ran_here(cluster: Cluster, name: str) -> None:
    """The driver joined the cluster it was sent to, and its work was done there.

    A driver that starts a Ray of its own is in neither of these lists.
    """
    driver = cluster.read_job(name)["driver_info"]
    assert driver is not None, "the driver never came to the cluster"
    assert any("SeparateActor" in name for name in cluster.list_actors(driver["id"]))


@pytest.mark.slow
@pytest.mark.check
def test_cluster_refuses_a_job_without_the_token(cluster):
    with pytest.raises(urllib.error.HTTPError) as caught:
        cluster.get("/api/jobs/", token="0" * 64)
    assert caught.value.code == 403


@pytest.mark.slow
@pytest.mark.check
def test_submitted_job_finishes(cluster, library, finished, tmp_path):
    """As the README has it: this folder is sent along, and its configs are found in it."""
    out = tmp_path / "out"
    uris = [f"input.uri={library}", f"output.uri={out}"]
    job = ["configs/local.yaml", *uris, *OVERRIDES]
    code, text = cluster.submit("whole", "--working-dir", ".", job=job)
    assert code == 0, text[-4_000:]
    assert "failed 2" in text and "media_unreadable" in text  # the job's console comes through
    details = cluster.read_job("whole")
    assert details["status"] == "SUCCEEDED" and details["driver_exit_code"] == 0
    assert details["runtime_env"]["working_dir"].startswith("gcs://")
    check_that_it_ran_here(cluster, "whole")
    assert read_stems(out) == read_stems(finished / "out")
    assert (check_whole(out).status == "failed").sum() == 4  # two assets, two queries
    (run,) = (out / "runs").glob("*.json")
    assert json.loads(run.read_text())["state"] == "finished"


@pytest.mark.slow
def test_submitted_job_that_fails_exits_with_1(cluster, library, tmp_path):
    """It ends with 1 whatever the job ended with; the cluster keeps the job's own code."""
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    code, text = cluster.submit("refused", job=[str(config), "run.span_s=0"])
    assert code == 1 and "separate: run.span_s=0" in text
    details = cluster.read_job("refused")
    assert details["status"] == "FAILED" and details["driver_exit_code"] == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_stopped_job_continues_when_submitted_again(cluster, library, finished, tmp_path):
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    job = [str(config), "run.failed_assets=ok"]
    code, text = cluster.submit("stopped", "--no-wait", job=job)
    assert code == 0, text
    deadline = time.monotonic() + JOB_S
    while not list(out.rglob("record.json")):
        assert cluster.read_job("stopped")["status"] in ("PENDING", "RUNNING")
        assert time.monotonic() < deadline
        time.sleep(0.1)
    code, text = cluster.run_ray("job", "stop", "stopped")
    assert code == 0, text
    assert cluster.read_job("stopped")["status"] == "STOPPED"
    kept = {path: path.read_bytes() for path in out.rglob("record.json")}
    assert 1 <= len(kept) < 5, "not half way"

    code, text = cluster.submit("again", job=job)
    assert code == 0, text[-4_000:]
    check_that_it_ran_here(cluster, "again")
    assert read_stems(out) == read_stems(finished / "out")
    check_whole(out)
    succeeded = {p: data for p, data in kept.items() if b'"failed"' not in data}
    assert succeeded == {path: path.read_bytes() for path in succeeded}, "done twice"
