"""Compare a run with other runs on the same output: runs at work, and runs of other settings."""

import time
from collections.abc import Iterable
from typing import Any

from separator.errors import RequestError
from separator.run.listening import OFF
from separator.run.prepare import Target
from separator.run.status import read_run, read_runs
from separator.stages.work import uses_presence
from separator.storage import Storage

LOOKS, PAUSE_S = 10, 0.5


def check_precision(target: Target, wanted: str, earlier: Iterable[str]) -> None:
    """Refuse the precision that `auto` gave here if it gave another one to a shard that started a
    moment before on a machine of another kind. `wanted`: the precision in the config; `earlier`:
    ids of the runs that took their share of the output before this one."""
    own = target.config.model.precision
    for each in earlier:
        run = await_run(target.storage, target.layout.run(each))
        if run is None or not wanted == run["config"]["model"]["precision"] == "auto":
            continue
        if (run.get("precision") or own) != own:
            raise RequestError(
                f"model.precision=auto is {own} on this machine and {run['precision']} in run "
                f"{each}, which is at work; set model.precision={run['precision']}"
            )


def await_run(storage: Storage, uri: str) -> dict[str, Any] | None:
    """Read the run file of a run that has just taken its share of the output; None if the run was
    killed before it wrote the file."""
    for _ in range(LOOKS):
        if (run := read_run(storage, uri)) is not None:
            return run
        time.sleep(PAUSE_S)
    return None


def list_former_detection(target: Target, run_id: str) -> list[str]:
    """List the settings of detection in which the newest runs differ, as their `key=value`.

    If no stem depends on these settings, finished stems keep the presence that they have.
    """
    if uses_presence(target.config) or target.config.detect.model == OFF:
        return []
    own, others = target.config.to_dict()["detect"], set()
    for run in read_runs(target.storage, target.layout):
        former = run["config"].get("detect", own)  # the first release had none
        is_alike = former.get("gate") == own["gate"]  # else its stems have other ids
        if run["run_id"] != run_id and run["totals"]["assets"] and is_alike:
            changed = (key for key in own if former.get(key, own[key]) != own[key])
            others |= {f"detect.{key}={former[key]}" for key in changed}
    return sorted(others)
