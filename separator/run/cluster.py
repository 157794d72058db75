"""Start and stop Ray, and find out about the machines of a run: CPUs, devices, precision."""

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from separator.config import JobConfig
from separator.errors import NoProgress, RequestError
from separator.machine import count_cpus
from separator.model.precision import choose_cpu_precision
from separator.run.placement import count_actors, describe_lack, has_labels

log = logging.getLogger(__name__)

# Ray Data reserves CPUs for extract and for publish even while one of them has nothing to do:
# without spare CPUs, half of the cores of a small machine would be idle.
SPARE_CPUS = 2
WAIT_AFTER_S = 10.0  # after so long without a row or an answer, a run reports that it waits
GPU_DRIVER = Path("/dev/nvidiactl")
LOCAL = "local"  # the value of RAY_ADDRESS that asks for a Ray of this machine


def is_cluster() -> bool:
    """Tell whether the run is on a cluster that somebody else started."""
    return os.environ.get("RAY_ADDRESS") not in (None, "", LOCAL)


@contextmanager
def started_ray() -> Iterator[None]:
    """Start a Ray of our own, or join the cluster that RAY_ADDRESS names; shut down at the end."""
    # By default torch's CPU threads spin while they wait, on cores that ffmpeg could use.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import ray

    from separator.run.local_ray import join_ray

    try:
        join_ray(count_cpus() + SPARE_CPUS)
    except SystemExit:  # raised by Ray's own handler of SIGTERM while Ray starts
        raise KeyboardInterrupt from None
    # Set after ray.init, which installs a handler that ends the process. With this one SIGTERM acts
    # like Ctrl-C: finished assets are committed on the way out.
    previous = signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, previous)


def choose_devices(config: JobConfig, num_left_out: int = 0) -> tuple[bool, int, int]:
    """Return (whether on GPUs, least number of actors, most). By default actors use all GPUs of the
    cluster except those left out; without GPUs, each machine has one actor."""
    import ray

    labels = config.run.separate.labels
    # GPUs count even on machines that have no CPUs for tasks.
    nodes = [node for node in ray.nodes() if node["Alive"] and has_labels(node, labels)]
    num_gpus = [int(node["Resources"].get("GPU", 0)) for node in nodes]
    is_wanted = config.model.device == "cuda"
    if is_wanted and not any(num_gpus) and not is_cluster():
        raise RequestError("model.device='cuda': this machine has no GPU; use auto or cpu")
    # A cluster that scales up has no GPU until one is asked for.
    on_gpu = is_wanted or (config.model.device == "auto" and any(num_gpus))
    if config.run.actors != "auto":
        return on_gpu, *config.run.parse_actors()
    number = len(list_worker_nodes(labels))
    if on_gpu:
        number = count_actors(num_gpus, config.run.separate.num_gpus, num_left_out)
    return on_gpu, max(1, number), max(1, number)


def list_worker_nodes(labels: Mapping[str, str]) -> list[dict]:
    """List the nodes with these labels that take work; a head without CPUs takes none."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"] and has_labels(node, labels)]
    return [node for node in nodes if node["Resources"].get("CPU", 0)]


def find_precision(config: JobConfig) -> str:
    """Find the precision that `auto` stands for on the devices of this run."""
    device = config.model.device
    if is_cluster():
        with started_ray():
            return _ask_nodes(device, config.run.separate.labels, config.run.no_progress_s)
    if device != "cpu" and GPU_DRIVER.exists():
        return probe_precision(device)
    return choose_cpu_precision()


def probe_precision(device: str) -> str:
    """Choose the precision of this machine; on a cluster each node runs this as a task."""
    from separator.model.device import choose_device, choose_precision

    return choose_precision("auto", choose_device(device))


def _ask_nodes(device: str, labels: Mapping[str, str], wait_s: float) -> str:
    """Ask each node for its precision, and wait up to `wait_s` for the answers. Refuse machines
    that differ, because their stems would differ."""
    import ray
    import ray.exceptions
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    all_nodes = list_worker_nodes(labels)
    gpu_nodes = [node for node in all_nodes if node["Resources"].get("GPU", 0)]
    on_gpu = device == "cuda" or (device == "auto" and bool(gpu_nodes))
    nodes = gpu_nodes if on_gpu else all_nodes
    task = ray.remote(num_cpus=0, num_gpus=1 if on_gpu else 0)(probe_precision)
    asked = [
        task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(device)
        for node in nodes
    ]
    # A cluster that scales up has no such node until one is asked for.
    asked = asked or [task.options(label_selector=dict(labels)).remote(device)]
    request = {"label_selector": labels} | ({"num_gpus": 1} if on_gpu else {"num_cpus": 1})
    if len(ray.wait(asked, num_returns=len(asked), timeout=WAIT_AFTER_S)[0]) < len(asked):
        log.warning(describe_lack({"actors": request}, ray.nodes()) or "waiting for free machines")
    try:
        answers = ray.get(asked, timeout=wait_s)
    except ray.exceptions.GetTimeoutError:
        reason = describe_lack({"actors": request}, ray.nodes()) or "all machines are taken"
        raise NoProgress(
            f"no machine could be asked for model.precision=auto in run.no_progress_s={wait_s:g} "
            f"seconds: {reason}; set it to fp32 or bf16"
        ) from None
    if len(set(answers)) > 1:
        found = ", ".join(
            f"{node['NodeManagerHostname']} {answer}"
            for node, answer in zip(nodes, answers, strict=True)
        )
        raise RequestError(
            f"model.precision='auto': the machines differ ({found}), and so would their stems; "
            "set it to fp32 or bf16"
        )
    return answers[0]
