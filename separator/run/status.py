"""Read the state of an output from its manifest and run files. Writes nothing."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from separator.errors import ObjectMissing
from separator.results.manifest import read_outcomes
from separator.results.paths import Layout
from separator.run.lock import STALE_S
from separator.run.run_file import RUNNING, STARTING
from separator.storage import Storage

NEWEST = 5


@dataclass
class Status:
    """Count manifest rows by outcome (empty: ok), and hold the newest runs, newest first."""

    outcomes: Counter[str] = field(default_factory=Counter)
    runs: list[dict[str, Any]] = field(default_factory=list)
    num_runs: int = 0


def read_status(storage: Storage, layout: Layout) -> Status:
    status = Status()
    for _, codes in read_outcomes(storage, layout):
        status.outcomes.update(codes.tolist())
    status.num_runs = len(list_runs(storage, layout))
    status.runs = read_runs(storage, layout)
    return status


def read_runs(storage: Storage, layout: Layout) -> list[dict[str, Any]]:
    """Read the files of the newest runs, newest first."""
    uris = list_runs(storage, layout)[-NEWEST:]
    return [json.loads(storage.read(uri)) for uri in reversed(uris)]


def list_runs(storage: Storage, layout: Layout) -> list[str]:
    try:
        return sorted(entry.uri for entry in storage.list(layout.runs(), ["*.json"]))
    except ObjectMissing:
        return []


def describe_state(run: dict[str, Any], now: datetime | None = None) -> str:
    """Return the run's own word, or `silent` if a run at work has not written for a minute."""
    written_at = datetime.fromisoformat(run["written_at"])
    quiet_s = ((now or datetime.now(UTC)) - written_at).total_seconds()
    return "silent" if run["state"] in (STARTING, RUNNING) and quiet_s > STALE_S else run["state"]
