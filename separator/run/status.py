"""Read from the manifest and the run files what has become of an output so far. Writes nothing."""

import itertools
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from separator.errors import ObjectMissing, RequestError
from separator.results.latest import read_again, read_latest
from separator.results.manifest import list_entries, list_runs
from separator.results.paths import Layout, name_presence
from separator.results.record import ABSENT
from separator.run.lock import STALE_S
from separator.run.run_file import RUNNING, STARTING
from separator.storage import Storage

log = logging.getLogger(__name__)

NEWEST = 5
TOTALS = ("assets", "assets_failed", "audio_s", "seconds")
# The failures of an asset: (error code, detail) -> names of the queries that failed with it.
Reasons = dict[tuple[str, str], list[str]]


@dataclass
class Status:
    """Count assets and manifest rows as they stand now, and hold the newest runs."""

    num_assets: int = 0
    num_failed_assets: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # rows by error code; empty: ok
    num_absent: int = 0  # rows without an error whose query is heard nowhere
    runs: list[dict[str, Any]] = field(default_factory=list)  # newest first
    num_runs: int = 0


@read_again
def read_status(storage: Storage, layout: Layout) -> Status:
    check_output(storage, layout)
    status = Status()
    assets: set[int] = set()  # hashes: 8 bytes and not a name for each
    failed: set[int] = set()
    for batch in read_latest(storage, layout, ["asset_uri", "error_code", "status"]):
        uris, codes, statuses = (column.to_pylist() for column in batch.columns)
        status.num_absent += statuses.count(ABSENT)
        status.outcomes.update(codes)
        assets.update(map(hash, uris))
        failed.update(hash(uri) for uri, code in zip(uris, codes, strict=True) if code)
    status.num_assets, status.num_failed_assets = len(assets), len(failed)
    status.runs = list(read_runs(storage, layout))
    status.num_runs = len(status.runs)
    if len(status.runs) == NEWEST:  # else all other files are foreign
        status.num_runs = len(list_runs(storage, layout))
    return status


@read_again
def read_failures(storage: Storage, layout: Layout) -> Iterator[tuple[str, Reasons]]:
    """List assets with failed rows by name, with the reasons."""
    check_output(storage, layout)
    columns = ["asset_uri", "query_name", "error_code", "error_detail"]
    assets: dict[str, Reasons] = {}
    for batch in read_latest(storage, layout, columns):
        for uri, query, code, detail in zip(*batch.to_pydict().values(), strict=True):
            if code:
                queries = assets.setdefault(uri, {}).setdefault((code, detail), [])
                if query not in queries:
                    queries.append(query)
    return iter(sorted(assets.items()))


def list_parts(storage: Storage, output_uri: str) -> list[tuple[str, Layout]]:
    """List the commands that have written to an output (`run`, `detect` or both) and their layouts.

    `run` is listed even if neither has.
    """
    own, presence = Layout(output_uri, ""), Layout(name_presence(output_uri), "")
    detect = [("detect", presence)] if list_runs(storage, presence) else []
    has_run = bool(list_runs(storage, own) or list_entries(storage, own))
    return [("run", own), *detect] if has_run or not detect else detect


def check_output(storage: Storage, layout: Layout) -> None:
    """Refuse an output that no run has written to, or `detect` alone."""
    if not list_runs(storage, layout) and not list_entries(storage, layout):
        if list_runs(storage, Layout(name_presence(layout.root_uri), "")):
            raise RequestError(
                f"output.uri={layout.root_uri!r}: only `separator detect` has run there, and this "
                "needs a run that makes stems: start `separator run`"
            )
        raise RequestError(
            f"output.uri={layout.root_uri!r}: no run has written there (no runs/, no manifest/); "
            "check output.uri, or start with `separator run`"
        )


def read_runs(storage: Storage, layout: Layout, number: int = NEWEST) -> Iterator[dict[str, Any]]:
    """Read the newest run files, newest first by the store's clock. Other files are left out."""
    found = (read_run(storage, uri) for uri in reversed(list_runs(storage, layout)))
    return itertools.islice((run for run in found if run is not None), number)


def read_last_runs(storage: Storage, layout: Layout) -> list[dict[str, Any]]:
    """Read the newest run file and, if its run made one shard, those of the other shards."""
    last: dict[str, dict[str, Any]] = {}
    num_shards = 0
    for run in read_runs(storage, layout, sys.maxsize):
        if last and count_shards(run) != num_shards:
            break  # that run, of all of the library or of another division, came before
        num_shards = count_shards(run)
        last.setdefault(run.get("shard", ""), run)
        if len(last) >= num_shards:
            break
    return list(last.values())


def count_shards(run: dict[str, Any]) -> int:
    """Read from a run file into how many shards its run divided the library; 0: into none."""
    number = str(run.get("shard", "")).partition("/")[2]
    return int(number) if number.isdecimal() else 0


def read_run(storage: Storage, uri: str) -> dict[str, Any] | None:
    """Read a run file; None, and a warning, for a file that no run has written."""
    try:
        run = json.loads(storage.read(uri))
        if is_run(run) and uri.endswith(f"/{run['run_id']}.json"):
            return run
    except ObjectMissing:  # deleted since it was listed
        return None
    except (ValueError, RecursionError):
        pass
    log.warning("%s: is no file of a run and is ignored: move it away", uri)
    return None


def is_run(content: Any) -> bool:
    """Tell whether JSON content has the fields that are read from a run file."""
    try:
        written_at = datetime.fromisoformat(content["written_at"])
        texts = content["run_id"], content["state"], content["config"]["model"]["precision"]
        numbers = [content["totals"][key] for key in TOTALS]
        numbers.append(content.get("device_busy", 0))  # run files of the first release have none
    except (KeyError, TypeError, ValueError):
        return False
    is_number = all(isinstance(number, int | float) for number in numbers)
    return written_at.tzinfo is not None and is_number and all(isinstance(t, str) for t in texts)


def describe_state(run: dict[str, Any], now: datetime | None = None) -> str:
    """Return the state in a run file, or `silent` if a run at work has not written for a minute."""
    written_at = datetime.fromisoformat(run["written_at"])
    quiet_s = ((now or datetime.now(UTC)) - written_at).total_seconds()
    return "silent" if run["state"] in (STARTING, RUNNING) and quiet_s > STALE_S else run["state"]
