"""Say what tasks and actors ask of their machines. Pure.

Memory is asked for so that Ray starts no more of them side by side than a machine can hold.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from separator.config import RunSettings, StageSettings

# Measured with tracks of 48 kHz and two channels in spans of two minutes, and rounded up.
TASK_BYTES, ACTOR_BYTES = 1_000_000_000, 2_000_000_000
LEAST_SIDE_BY_SIDE = 4  # on a small machine, whose memory is divided so
EXTRACT, SEPARATE, PUBLISH = "tasks of extract", "actors", "tasks of publish"
Asks = Mapping[str, Mapping[str, Any]]  # who asks -> Ray's options


def make_asks(run: RunSettings, on_gpu: bool, nodes: Sequence[Mapping[str, Any]]) -> Asks:
    """`nodes`: as Ray lists them."""
    largest = find_most("memory", nodes) / LEAST_SIDE_BY_SIDE
    gpus = {"num_gpus": run.separate.num_gpus} if on_gpu else {}
    return {
        EXTRACT: _ask(run.extract, TASK_BYTES, largest),
        SEPARATE: _ask(run.separate, ACTOR_BYTES, largest) | gpus,
        PUBLISH: _ask(run.publish, TASK_BYTES, largest),
    }


def _ask(stage: StageSettings, usual: float, largest: float) -> dict[str, Any]:
    memory = stage.memory_bytes
    if memory == "auto":
        memory = min(usual, largest or usual)
    return {"num_cpus": stage.num_cpus, "memory": int(memory)}


def find_most(resource: str, nodes: Sequence[Mapping[str, Any]]) -> float:
    """The most that a machine has of a resource."""
    return max((node["Resources"].get(resource, 0) for node in nodes if node["Alive"]), default=0)


def describe_lack(asks: Asks, nodes: Sequence[Mapping[str, Any]]) -> str:
    """Say what no machine has; empty if each ask fits one."""
    for who, ask in asks.items():
        for option, resource in (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "memory")):
            wanted, most = ask.get(option, 0), find_most(resource, nodes)
            if most >= wanted:
                continue
            if resource == "memory":
                return (
                    f"waiting for memory: the {who} ask for {wanted / 1e9:.1f} GB, "
                    f"the largest machine has {most / 1e9:.1f} GB"
                )
            total = sum(node["Resources"].get(resource, 0) for node in nodes if node["Alive"])
            return (
                f"waiting for a {resource}: the {who} ask for {option}={wanted:g}, "
                f"the cluster has {total:g}"
            )
    return ""
