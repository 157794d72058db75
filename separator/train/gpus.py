"""Check that there are as many GPUs as were asked for: Ray waits for more without a word."""

from collections.abc import Callable

import ray

from separator.errors import RequestError
from separator.run.cluster import is_cluster


def check_gpus(setting: str, num_needed: int, show: Callable[[str], object]) -> None:
    """Refuse a setting that needs more GPUs than this machine has; of a cluster, to which machines
    may come later, show that the work waits for them. Ray must be initialized."""
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    if num_needed <= num_gpus:
        return
    if not is_cluster():
        raise RequestError(f"{setting}: needs {num_needed} GPUs; this machine has {num_gpus}")
    show(f"waiting for {num_needed} GPUs; the cluster has {num_gpus} now")
