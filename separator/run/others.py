"""Look at other runs on the same output: those at work, and those of earlier settings."""

from collections.abc import Collection

from separator.errors import RequestError
from separator.run.listening import OFF
from separator.run.prepare import Target
from separator.run.status import read_run, read_runs
from separator.stages.work import uses_presence


def check_precision(target: Target, wanted: str, run_id: str, live: Collection[str]) -> None:
    """Refuse the precision that `auto` came to (`wanted` is `auto`) if a shard that started a
    moment before, on a machine of another kind, came to another. `live`: runs that are at work."""
    own = target.config.model.precision
    for each in live:
        run = read_run(target.storage, target.layout.run(each)) if each < run_id else None
        if run is None or not wanted == run["config"]["model"]["precision"] == "auto":
            continue
        if (run.get("precision") or own) != own:
            raise RequestError(
                f"model.precision=auto is {own} on this machine and {run['precision']} in run "
                f"{each}, which is at work; set model.precision={run['precision']}"
            )


def list_former_detection(target: Target, run_id: str) -> list[str]:
    """List settings of detection that the newest runs had otherwise, as `key=value` of theirs.

    Where no stem depends on them, what is done keeps its presence as it is.
    """
    if uses_presence(target.config) or target.config.detect.model == OFF:
        return []
    own, others = target.config.to_dict()["detect"], set()
    for run in read_runs(target.storage, target.layout):
        former = run["config"].get("detect", own)  # the first release had none
        is_alike = former.get("gate") == own["gate"]  # else its stems are others
        if run["run_id"] != run_id and run["totals"]["assets"] and is_alike:
            changed = (key for key in own if former.get(key, own[key]) != own[key])
            others |= {f"detect.{key}={former[key]}" for key in changed}
    return sorted(others)
