"""Make ids of runs that sort by time, and after the ids of all earlier runs on an output."""

import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

TIME = "%Y%m%d-%H%M%S"
LENGTH = len("20260101-000000")
RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


def make_run_id(at: datetime | None = None) -> str:
    return f"{at or datetime.now(UTC):{TIME}}-{uuid.uuid4().hex[:6]}"


def follow_runs(run_id: str, run_uris: Iterable[str]) -> str:
    """Return the id, or a new one that sorts after those of all runs: clocks may differ, and a run
    that started later may have ended before this one begins."""
    names = (uri.rpartition("/")[2].removesuffix(".json") for uri in run_uris)
    newest = max(filter(None, map(read_time, names)), default=None)
    if newest is None or newest < datetime.strptime(run_id[:LENGTH], TIME):
        return run_id
    return make_run_id(newest + timedelta(seconds=1))


def read_time(name: str) -> datetime | None:
    """Read the time in an id, in UTC as it was written; None if the name is no id."""
    if not RUN_ID.fullmatch(name) or name.startswith("9999"):  # no later year can follow
        return None
    try:
        return datetime.strptime(name[:LENGTH], TIME)
    except ValueError:  # no date
        return None
