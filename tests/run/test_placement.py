"""What stages ask of machines."""

import pytest

from separator.config import ActorSettings, RunSettings, StageSettings
from separator.errors import RequestError
from separator.run.placement import (
    ACTOR_BYTES,
    EXTRACT,
    PUBLISH,
    SEPARATE,
    SPANS_AT_ONCE,
    TASK_BYTES,
    choose_spans_at_once,
    count_actors,
    describe_lack,
    make_requests,
)


def make_nodes(*resources: dict[str, float]) -> list[dict]:
    return [{"Alive": True, "Resources": each} for each in resources]


def test_make_asks_takes_the_settings_and_asks_for_gpus_only_on_gpus():
    run = RunSettings(
        extract=StageSettings(2.0, 5),
        separate=ActorSettings(1.0, 7, num_gpus=0.25),
        publish=StageSettings(),
    )
    nodes = make_nodes({"CPU": 8, "memory": 64e9})
    requests = make_requests(run, True, nodes)
    assert requests[EXTRACT] == {"num_cpus": 2.0, "memory": 5}
    assert requests[SEPARATE] == {"num_cpus": 1.0, "memory": 7, "num_gpus": 0.25}
    assert requests[PUBLISH] == {"num_cpus": 1.0, "memory": TASK_BYTES}
    assert "num_gpus" not in make_requests(run, False, nodes)[SEPARATE]


def test_make_asks_leaves_room_for_tasks_beside_the_actors_of_small_machines():
    small = {"CPU": 3, "GPU": 4, "memory": 6e9}
    nodes = make_nodes({"CPU": 8, "memory": 64e9}, small, {"memory": 1e9})  # the last: a head
    requests = make_requests(RunSettings(), True, nodes)
    assert 4 * requests[SEPARATE]["memory"] + requests[EXTRACT]["memory"] <= small["memory"]
    assert describe_lack(requests, nodes) == ""
    assert make_requests(RunSettings(), False, nodes[:1])[SEPARATE]["memory"] == ACTOR_BYTES
    assert make_requests(RunSettings(), True, [])[EXTRACT]["memory"] == TASK_BYTES


def test_describe_lack_names_memory_that_no_machine_has():
    run = RunSettings(publish=StageSettings(1.0, 100_000_000_000))
    nodes = make_nodes({"CPU": 8, "memory": 64e9})
    assert describe_lack(make_requests(run, False, nodes), nodes) == (
        "waiting for memory: the tasks of publish ask for 100.0 GB, the largest machine has 64.0 GB"
    )


def test_labels_choose_machines_and_their_lack_is_named():
    run = RunSettings(separate=ActorSettings(labels={"disk": "fast"}))
    slow, fast = make_nodes({"CPU": 8, "memory": 64e9}, {"CPU": 8, "memory": 1e9})
    slow["Labels"], fast["Labels"] = {"disk": "slow"}, {"disk": "fast", "zone": "b"}
    requests = make_requests(run, False, [slow, fast])
    assert requests[SEPARATE]["label_selector"] == {"disk": "fast"}
    assert "label_selector" not in requests[EXTRACT]
    assert describe_lack(requests, [slow, fast]) == ""
    assert describe_lack(requests, [slow]) == (
        "waiting for a machine: the actors ask for one with the labels disk=fast"
    )
    with pytest.raises(RequestError, match=r"run\.separate\.labels: disk='a b'"):
        RunSettings(separate=ActorSettings(labels={"disk": "a b"}))


def test_only_networks_of_ours_on_a_gpu_have_several_spans_in_work_unless_told():
    auto, three = ActorSettings(), ActorSettings(spans_at_once=3)
    assert choose_spans_at_once(auto, True, is_ours=True) == SPANS_AT_ONCE > 1
    assert choose_spans_at_once(auto, False, is_ours=True) == 1
    assert choose_spans_at_once(three, False, is_ours=True) == 3
    assert choose_spans_at_once(three, True, is_ours=False) == 1
    for wrong in (0, 1.5, True, "many", 65):
        with pytest.raises(RequestError, match=r"run\.separate\.spans_at_once=.*whole number"):
            RunSettings(separate=ActorSettings(spans_at_once=wrong))


@pytest.mark.parametrize(
    ("num_gpus", "gpus_of_actor", "num_left_out", "expected"),
    [
        ([2, 1], 1, 0, 3),
        ([2, 1], 0.5, 1, 4),
        ([2, 1], 0.4, 0, 6),  # not 7: no actor shares in two GPUs
        ([8], 0.8, 0, 8),
        ([3, 3], 2, 0, 2),  # not 3: nor in two machines
        ([4, 4], 2, 2, 2),  # two devices of two GPUs each are left out
        ([], 0.25, 0, 0),
    ],
)
def test_count_actors_counts_those_that_find_room(num_gpus, gpus_of_actor, num_left_out, expected):
    assert count_actors(num_gpus, gpus_of_actor, num_left_out) == expected
