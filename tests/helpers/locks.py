"""Make locks of runs on this machine and, by name, on others."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from separator.errors import OutputTaken
from separator.results.paths import Layout
from separator.run.lock import RunLock
from separator.storage import Storage

NEVER_S = 1_000.0
Folder = tuple[Storage, str]


def make_lock(
    folder: Folder, run_id: str, shard: str = "", machine: str = "", **settings
) -> RunLock:
    """`machine`: empty for this one. Quick heartbeats, and by default nobody is ever stale."""
    storage, root_uri = folder
    options = {"stale_s": NEVER_S, "on_heartbeat": lambda: None} | settings
    options = {"heartbeat_s": 0.3 if root_uri.startswith("s3:") else 0.05} | options
    process = f"{machine}/1/1" if machine else ""
    return RunLock(storage, Layout(root_uri, "").lock(), run_id, shard, process=process, **options)


def read_lock(folder: Folder) -> dict[str, dict[str, Any]]:
    storage, root_uri = folder
    return json.loads(storage.read(Layout(root_uri, "").lock()))


def write_lock(folder: Folder, run_id: str, shard: str = "", machine: str = "there") -> None:
    """As a run of another machine left it."""
    storage, root_uri = folder
    content = {run_id: {"shard": shard, "process": f"{machine}/1/1", "heartbeat": 7}}
    storage.write(Layout(root_uri, "").lock(), json.dumps(content).encode())


def race(actions: list[Callable[[], object]]) -> list[bool]:
    """Start all at once; tell for each whether it went through (False: refused or returned it)."""
    barrier = threading.Barrier(len(actions))

    def act(action: Callable[[], object]) -> bool:
        barrier.wait()
        try:
            return action() is not False
        except OutputTaken:
            return False

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))
