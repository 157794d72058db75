"""Say what tasks and actors ask of their machines. Pure.

Memory is asked for so that Ray starts no more of them side by side than a machine can hold.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from separator.config import ActorSettings, RunSettings, StageSettings

# With stereo tracks at 48 kHz a task took 0.6 to 0.9 GB, an actor with `mini` on a CPU 3.3 GB.
TASK_BYTES, ACTOR_BYTES = 1_000_000_000, 4_000_000_000
MIN_TASKS = 2  # tasks that a small machine has room for beside its actors
EXTRACT, SEPARATE, PUBLISH = "tasks of extract", "actors", "tasks of publish"
SPANS_AT_ONCE = 8  # while some are on a GPU, the CPU works on the others
Requests = Mapping[str, Mapping[str, Any]]  # stage -> Ray's options


def make_requests(run: RunSettings, on_gpu: bool, nodes: Sequence[Mapping[str, Any]]) -> Requests:
    """Make Ray's options for tasks and actors. `nodes`: as Ray lists them."""
    most = share_memory(run.separate.num_gpus, nodes)
    gpus = {"num_gpus": run.separate.num_gpus} if on_gpu else {}
    return {
        EXTRACT: _make_request(run.extract, min(TASK_BYTES, most)),
        SEPARATE: _make_request(run.separate, min(ACTOR_BYTES, most)) | gpus,
        PUBLISH: _make_request(run.publish, min(TASK_BYTES, most)),
    }


def choose_spans_at_once(asked: ActorSettings, on_gpu: bool, is_ours: bool) -> int:
    """Tell how many spans an actor works on at once; models of other packages take one."""
    if not is_ours:
        return 1
    if asked.spans_at_once == "auto":
        return SPANS_AT_ONCE if on_gpu else 1  # on a CPU the network needs all cores itself
    return asked.spans_at_once


def share_memory(gpus_of_actor: float, nodes: Sequence[Mapping[str, Any]]) -> float:
    """Divide the memory of the tightest machine among all actors that it may get and some tasks. If
    each asked for more, tasks would wait for ever for memory that the actors keep."""
    shares = [math.inf]
    for node in nodes:
        has = node["Resources"]
        if node["Alive"] and (has.get("CPU") or has.get("GPU")):
            num_actors = max(1, count_actors([int(has.get("GPU", 0))], gpus_of_actor))
            shares.append(has.get("memory", 0) / (num_actors + MIN_TASKS))
    return min(shares)


def count_actors(num_gpus: Sequence[int], gpus_of_actor: float, num_left_out: int = 0) -> int:
    """Count the actors that find room on machines with so many GPUs, on all devices but those left
    out. A device is one GPU, which several actors may share, or the GPUs of one actor."""
    if gpus_of_actor < 1:
        return (sum(num_gpus) - num_left_out) * int(1 / gpus_of_actor)
    return sum(int(number / gpus_of_actor) for number in num_gpus) - num_left_out


def _make_request(stage: StageSettings, usual: float) -> dict[str, Any]:
    memory = usual if stage.memory_bytes == "auto" else stage.memory_bytes
    labels = {"label_selector": dict(stage.labels)} if stage.labels else {}
    return {"num_cpus": stage.num_cpus, "memory": int(memory), **labels}


def has_labels(node: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return not labels or labels.items() <= node["Labels"].items()


def find_most(resource: str, nodes: Sequence[Mapping[str, Any]]) -> float:
    """Return the most that a machine has of a resource."""
    return max((node["Resources"].get(resource, 0) for node in nodes if node["Alive"]), default=0)


def describe_lack(requests: Requests, nodes: Sequence[Mapping[str, Any]]) -> str:
    """Say which request no machine can meet; empty if each of them fits a machine."""
    all_nodes = nodes
    for stage, request in requests.items():
        labels = request.get("label_selector", {})
        nodes = [node for node in all_nodes if has_labels(node, labels)]
        if labels and not any(node["Alive"] for node in nodes):
            shown = ", ".join(f"{name}={value}" for name, value in labels.items())
            return f"waiting for a machine: the {stage} ask for one with the labels {shown}"
        for option, resource in (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "memory")):
            wanted, most = request.get(option, 0), find_most(resource, nodes)
            if most >= wanted:
                continue
            if resource == "memory":
                return (
                    f"waiting for memory: the {stage} ask for {wanted / 1e9:.1f} GB, "
                    f"the largest machine has {most / 1e9:.1f} GB"
                )
            total = sum(node["Resources"].get(resource, 0) for node in nodes if node["Alive"])
            return (
                f"waiting for a {resource}: the {stage} ask for {option}={wanted:g}, "
                f"the cluster has {total:g}"
            )
    return ""
