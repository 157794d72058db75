"""Look at other runs on the same output: those at work, and those that did not end.

A run that did not end may have replaced stems that the manifest still names by other settings.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from separator.config import JobConfig
from separator.errors import RequestError
from separator.results.record import hash_content, pack_json
from separator.run.listening import OFF
from separator.run.prepare import Target
from separator.run.run_file import FINISHED
from separator.run.status import read_run, read_runs
from separator.stages.work import Work, uses_presence
from separator.storage import Storage

MOST_RUNS_READ = 1_000
# Keys of a run file.
CLOSED_BY = "closed_by"  # the run that has looked at all assets of this one, which did not end
ALL_CLOSED = "all_closed"  # this run ended, and left no earlier run open

Run = dict[str, Any]


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


def hash_work(config: JobConfig, storage: Storage, work: Work) -> str:
    """Hash what a run makes: two runs with one hash make the same files of the same assets."""
    has_own = config.input.queries_column or config.input.tracks_column
    rows = storage.stat(config.input.uri).etag if has_own else ""
    queries = [[query.name, query.key] for query in work.queries]
    return hash_content([queries, work.tracks, work.rule.settings, work.rule.recipes, rows])


def find_unfinished(
    target: Target, run_id: str, work: str, live: Collection[str]
) -> tuple[Target, list[Run]]:
    """Find the run files of runs that were stopped or killed, and not closed since.

    If one of them did other `work`, the target is marked as doubtful.
    """
    found = []
    for run in read_runs(target.storage, target.layout, MOST_RUNS_READ):
        if run["run_id"] in (run_id, *live):
            continue
        if run["state"] == FINISHED and run.get(ALL_CLOSED):
            break  # nothing before it is open
        if run["state"] != FINISHED and not run.get(CLOSED_BY):
            found.append(run)
    is_doubtful = any(run.get("work") != work for run in found)
    return replace(target, is_doubtful=is_doubtful), found


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


def close_unfinished(target: Target, run_id: str, runs: Iterable[Run]) -> bool:
    """Mark the runs whose assets have all been looked at by this run; tell whether none is left."""
    config, are_closed = target.config, True
    own = config.to_dict()["input"], config.run.name_shard()
    is_whole = config.run.limit is None and config.run.only == "all"
    for run in runs:
        if is_whole and (run["config"].get("input"), run.get("shard")) == own:
            uri = target.layout.run(run["run_id"])
            target.storage.write(uri, pack_json(run | {CLOSED_BY: run_id}))
        else:
            are_closed = False
    return are_closed
