"""Ray's own logs on the console, and a Ray that does not start."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray.data

from separator.errors import ClusterUnreachable
from separator.run.cluster import is_cluster
from separator.run.local_ray import join_ray, quiet_loggers


def test_quiet_loggers_keeps_warnings_of_hangs_and_high_memory():
    assert ray.data.__name__ == "ray.data"  # importing it resets its loggers
    quiet_loggers()
    internal = "ray.data._internal"
    detector = logging.getLogger(f"{internal}.issue_detection.issue_detector_manager")
    assert detector.isEnabledFor(logging.WARNING)
    assert not logging.getLogger(f"{internal}.progress").isEnabledFor(logging.WARNING)
    executor = logging.getLogger(f"{internal}.execution.streaming_executor")
    assert not executor.isEnabledFor(logging.INFO) and executor.isEnabledFor(logging.WARNING)


START = """
from separator.errors import ClusterUnreachable
from separator.run.local_ray import join_ray
from separator.run.process import list_children
try:
    join_ray(1)
except ClusterUnreachable as error:
    print(error)
print(len(list_children()), "left")
"""


@pytest.mark.parametrize("address", ["head", "head.example.com", "127.0.0.1"])
def test_an_address_without_a_port_is_one_line(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ClusterUnreachable, match=f"RAY_ADDRESS='{address}'") as caught:
        join_ray()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "local"])
def test_an_empty_address_names_no_cluster(monkeypatch, address):
    """As where a file of variables leaves it empty, or asks for a Ray of this machine."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert not is_cluster()


WARN = """
import logging, warnings
from jobs.json_lines import log_as_json
log_as_json()
import ray.data
from separator.run.local_ray import quiet_loggers
quiet_loggers()
quiet_loggers()
logging.getLogger("ray.data.execution").warning("of Ray Data")
logging.getLogger("ray").error("of Ray")
warnings.warn("of Python")
"""


def test_warnings_of_ray_and_python_are_json_if_the_log_is():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WARN]
    err = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stderr
    messages = [json.loads(line)["message"] for line in err.splitlines()]
    assert messages[:2] == ["of Ray Data", "of Ray"] and "of Python" in messages[2]
    assert len(messages) == 3


EMPTY = """
from separator.run.local_ray import join_ray
join_ray(1)
import ray
print(ray.cluster_resources()["CPU"])
"""


@pytest.mark.slow
def test_join_ray_starts_its_own_where_the_address_is_empty():
    done = subprocess.run(
        [sys.executable, "-c", EMPTY],
        env=os.environ | {"RAY_ADDRESS": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1.0\n"


@pytest.mark.slow
def test_join_ray_leaves_no_process_of_a_ray_that_is_too_slow_to_start():
    """Every answer within Ray takes longer than Ray waits for it: half a minute, three times."""
    slow = {"RAY_testing_asio_delay_us": "*=100000000:100000000"}
    done = subprocess.run(
        [sys.executable, "-c", START],
        env=os.environ | slow,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    said, left = done.stdout.splitlines()
    assert said.startswith("Ray does not start on this machine: ") and left == "0 left"
