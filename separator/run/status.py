"""Read from the manifest and the run files what has become of an output so far. Writes nothing."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from separator.errors import ObjectMissing, RequestError
from separator.results.compact import find_latest
from separator.results.manifest import iterate_batches, list_entries
from separator.results.paths import Layout
from separator.run.lock import STALE_S
from separator.run.run_file import RUNNING, STARTING
from separator.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

NEWEST = 5
# Of an asset: (error code, detail) -> names of the queries it kept from being made.
Reasons = dict[tuple[str, str], list[str]]


@dataclass
class Status:
    """Count assets and manifest rows as they stand now, and hold the newest runs."""

    num_assets: int = 0
    num_failed_assets: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # rows by error code; empty: ok
    runs: list[dict[str, Any]] = field(default_factory=list)  # newest first
    num_runs: int = 0


def read_status(storage: Storage, layout: Layout) -> Status:
    check_output(storage, layout)
    status = Status()
    assets: set[int] = set()  # hashes: 8 bytes and not a name for each
    failed: set[int] = set()
    for batch in read_latest(storage, layout, ["asset_uri", "error_code"]):
        uris, codes = (column.to_pylist() for column in batch.columns)
        status.outcomes.update(codes)
        assets.update(map(hash, uris))
        failed.update(hash(uri) for uri, code in zip(uris, codes, strict=True) if code)
    status.num_assets, status.num_failed_assets = len(assets), len(failed)
    status.num_runs = len(list_runs(storage, layout))
    status.runs = list(read_runs(storage, layout))
    return status


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


def read_latest(
    storage: Storage, layout: Layout, columns: Sequence[str]
) -> "Iterator[pa.RecordBatch]":
    """Read some columns of the manifest, without rows that a later commit has replaced."""
    for uri, mask in find_latest(storage, layout).items():
        start = 0
        for batch in iterate_batches(storage, uri, columns):
            yield batch.filter(_to_arrow(mask[start : start + len(batch)]))
            start += len(batch)


def _to_arrow(mask: Any) -> "pa.Array":
    import pyarrow as pa  # imported here: it costs 0.2 s

    return pa.array(mask)


def check_output(storage: Storage, layout: Layout) -> None:
    """Refuse an output that no run has written to."""
    if not list_runs(storage, layout) and not list_entries(storage, layout):
        raise RequestError(
            f"output.uri={layout.root_uri!r}: no run has written there (no runs/, no manifest/); "
            "check output.uri, or start with `separator run`"
        )


def read_runs(storage: Storage, layout: Layout, number: int = NEWEST) -> Iterator[dict[str, Any]]:
    """Read the newest run files, newest first."""
    for uri in reversed(list_runs(storage, layout)[-number:]):
        yield json.loads(storage.read(uri))


def list_runs(storage: Storage, layout: Layout) -> list[str]:
    try:
        return sorted(entry.uri for entry in storage.list(layout.runs(), ["*.json"]))
    except ObjectMissing:
        return []


def describe_state(run: dict[str, Any], now: datetime | None = None) -> str:
    """Return the state in a run file, or `silent` if a run at work has not written for a minute."""
    written_at = datetime.fromisoformat(run["written_at"])
    quiet_s = ((now or datetime.now(UTC)) - written_at).total_seconds()
    return "silent" if run["state"] in (STARTING, RUNNING) and quiet_s > STALE_S else run["state"]
