"""What a run waits for, in one line."""

import pytest

from separator.run.devices import DeviceHealth
from separator.run.watch import describe_wait

ASKS = {"tasks": {"num_cpus": 1, "memory": 1e9}, "actors": {"num_gpus": 1}}
CPUS = {"Alive": True, "Resources": {"CPU": 8.0, "memory": 2e9}}
GPUS = {"Alive": True, "Resources": {"GPU": 2.0}}
LOST = {"Alive": False, "Resources": {"GPU": 2.0}}


@pytest.mark.parametrize(
    ("nodes", "line"),
    [
        ([CPUS], "waiting for a GPU: the actors ask for num_gpus=1, the cluster has 0"),
        ([CPUS, LOST], "waiting for a GPU: the actors ask for num_gpus=1, the cluster has 0"),
        ([GPUS], "waiting for a CPU: the tasks ask for num_cpus=1, the cluster has 0"),
        (
            [{"Alive": True, "Resources": {"CPU": 8.0, "memory": 3e8, "GPU": 1.0}}],
            "waiting for memory: the tasks ask for 1.0 GB, the largest machine has 0.3 GB",
        ),
        ([CPUS, GPUS], "waiting for the first of 2 actors to start; the last failure: m: no"),
    ],
)
def test_describe_wait_names_what_no_machine_has(nodes, line):
    health = DeviceHealth()
    health.fail("actor", "m", ["start"], "no")
    assert describe_wait(ASKS, nodes, health, 2) == line


def test_describe_wait_is_silent_while_actors_work():
    health = DeviceHealth()
    health.start("actor")
    assert describe_wait(ASKS, [CPUS, GPUS], health, 2) == ""
