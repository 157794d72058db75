"""What a run waits for, in one line, and the thread that finds it out."""

import threading

import pytest
import ray

from separator.run.devices import DeviceHealth
from separator.run.local_ray import join_ray
from separator.run.monitor import Monitor
from separator.run.stats import RunStats
from separator.run.watch import WAIT_AFTER_S, Watch, describe_wait

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


@pytest.mark.slow
@pytest.mark.check
def test_watch_ends_a_pass_whose_output_nobody_reads():
    """As in `separator run ... | head -2`, while the run waits for machines."""

    def write_line() -> None:
        raise BrokenPipeError

    join_ray(1)
    try:
        make_monitor = ray.remote(num_cpus=0)(Monitor).remote
        monitor = make_monitor([], DeviceHealth())
        with (
            pytest.raises(BrokenPipeError),
            Watch(monitor, RunStats("r"), ASKS, 1, write_line) as watch,
        ):
            watch.row_at -= WAIT_AFTER_S
            assert not threading.Event().wait(60), "the watch interrupts this"
            raise AssertionError("the watch did not end the pass")
    finally:
        ray.shutdown()
