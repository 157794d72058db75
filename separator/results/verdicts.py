"""Keep what people decided about stems: a Parquet file beside the manifest, one row a fingerprint.

A verdict is of a fingerprint, so it goes with the very sound that was heard: a stem that is made
again in another way has none. `review/verdicts.parquet` is changed by conditional writes; of two
verdicts about one stem the later one counts.
"""

import io
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from separator.errors import (
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    OutputDamaged,
    RequestError,
    StorageBusy,
)
from separator.results.paths import Layout
from separator.storage import Storage, join_uri

if TYPE_CHECKING:
    import pyarrow as pa

ACCEPT, REJECT = "accept", "reject"
VERDICTS = (ACCEPT, REJECT, "")  # empty: a note alone
FINGERPRINT = re.compile("[0-9a-f]{32}")
LONGEST_NOTE = 10_000
MOST_CONFLICTS = 100
Span = tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """Hold what one person decided about one stem; checks itself."""

    fingerprint: str
    verdict: str  # one of VERDICTS
    note: str = ""
    reviewed_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    reviewer: str = ""
    presence: tuple[Span, ...] | None = None  # as a person marked it; None: not marked

    def __post_init__(self) -> None:
        if not FINGERPRINT.fullmatch(self.fingerprint):
            raise RequestError(f"fingerprint={self.fingerprint!r:.60}: is none of the manifest's")
        if self.verdict not in VERDICTS:
            raise RequestError(f"verdict={self.verdict!r:.60}: must be accept, reject or empty")
        if len(self.note) > LONGEST_NOTE:
            raise RequestError(f"note: {len(self.note):,} characters; at most {LONGEST_NOTE:,}")
        if self.reviewed_at.tzinfo is None:
            raise RequestError(f"reviewed_at={self.reviewed_at}: has no time zone")
        for start_s, stop_s in self.presence or ():
            if not 0 <= start_s < stop_s:
                raise RequestError(f"presence=[{start_s}, {stop_s}]: stops before it starts")


def name_verdicts(layout: Layout) -> str:
    return join_uri(layout.root_uri, "review", "verdicts.parquet")


def read_verdicts(storage: Storage, layout: Layout) -> dict[str, Verdict]:
    """Read all verdicts of an output by fingerprint; empty where nobody has reviewed it."""
    try:
        return unpack(storage.read(name_verdicts(layout)), name_verdicts(layout))
    except ObjectMissing:
        return {}


def add_verdicts(storage: Storage, layout: Layout, new: Iterable[Verdict]) -> int:
    """Add verdicts to those of an output; return how many changed anything.

    The same verdicts again change nothing, also in another order.
    """
    new, uri = list(new), name_verdicts(layout)
    for _ in range(MOST_CONFLICTS):
        try:
            data, version = storage.read_versioned(uri)
            old = unpack(data, uri)
        except ObjectMissing:
            old, version = {}, ""
        merged = merge(old, new)
        num_changed = sum(old.get(key) != verdict for key, verdict in merged.items())
        if not num_changed or _replace(storage, uri, pack(merged), version):
            return num_changed
        time.sleep(random.uniform(0.01, 0.2))
    raise StorageBusy(f"{uri}: others wrote first {MOST_CONFLICTS} times in a row")


def _replace(storage: Storage, uri: str, data: bytes, version: str) -> bool:
    try:
        if version:
            storage.replace(uri, data, version)
        else:
            storage.write(uri, data, if_absent=True)
    except (ObjectChanged, ObjectExists):
        return False
    return True


def merge(old: Mapping[str, Verdict], new: Iterable[Verdict]) -> dict[str, Verdict]:
    """Keep for each stem the verdict that was given last."""
    merged = dict(old)
    for verdict in new:
        known = merged.get(verdict.fingerprint)
        if known is None or known.reviewed_at <= verdict.reviewed_at:
            merged[verdict.fingerprint] = verdict
    return merged


def make_schema() -> "pa.Schema":
    import pyarrow as pa  # imported here: it costs 0.2 s

    span = pa.struct([("start_s", pa.float64()), ("stop_s", pa.float64())])
    return pa.schema(
        [
            ("fingerprint", pa.string()),
            ("verdict", pa.string()),
            ("note", pa.string()),
            ("reviewed_at", pa.timestamp("us", "UTC")),
            ("reviewer", pa.string()),
            ("presence", pa.list_(span)),
        ]
    )


def make_table(verdicts: Mapping[str, Verdict]) -> "pa.Table":
    """Make the table of verdicts, sorted by fingerprint."""
    import pyarrow as pa

    rows = [asdict(verdicts[key]) for key in sorted(verdicts)]
    for row in rows:
        if (spans := row["presence"]) is not None:
            row["presence"] = [{"start_s": start, "stop_s": stop} for start, stop in spans]
    return pa.Table.from_pylist(rows, schema=make_schema())


def pack(verdicts: Mapping[str, Verdict]) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(make_table(verdicts), sink, compression="zstd")
    return sink.getvalue()


def unpack(data: bytes, uri: str) -> dict[str, Verdict]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data), columns=make_schema().names)
        rows = table.cast(make_schema()).to_pylist()
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise OutputDamaged(f"{uri}: is no table of verdicts: {reason}") from None
    found = {}
    for row in rows:
        spans = row.pop("presence")
        marked = None if spans is None else tuple((s["start_s"], s["stop_s"]) for s in spans)
        found[row["fingerprint"]] = Verdict(**row, presence=marked)
    return found


def parse_time(key: str, text: object, default: Callable[[], datetime]) -> datetime:
    """Read a time as a file of verdicts has it; one without a zone is in UTC."""
    if text in (None, ""):
        return default()
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise RequestError(f"{key}={text!r:.60}: is no time in ISO 8601") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
