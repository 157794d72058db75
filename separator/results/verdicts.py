"""Keep what people decided about stems: a Parquet file beside the manifest, one row a fingerprint.

A verdict belongs to a fingerprint, and thus to the very sound that was heard: a stem that is made
again in another way has none. `review/verdicts.parquet` is changed by conditional writes. Of two
verdicts about one stem the later one counts; the same is true of notes.
"""

import io
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from separator.audio.window import Times
from separator.errors import (
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    OutputDamaged,
    RequestError,
    StorageBusy,
)
from separator.results.latest import read_again, read_latest
from separator.results.paths import Layout
from separator.storage import Storage, join_uri

if TYPE_CHECKING:
    import pyarrow as pa

ACCEPT, REJECT = "accept", "reject"
VERDICTS = (ACCEPT, REJECT, "")  # empty: a note alone
FIELDS = ("verdict", "note", "presence")
NEVER = datetime.min.replace(tzinfo=UTC)
FINGERPRINT = re.compile("[0-9a-f]{32}")
LONGEST_NOTE = 10_000
MAX_CONFLICTS = 100
Time = TypeVar("Time", datetime, None)


@dataclass(frozen=True)
class Verdict:
    """Hold what people decided about one stem, and check it. An empty field was not given, unless
    its own time says when it was taken back."""

    fingerprint: str
    verdict: str  # one of VERDICTS
    note: str = ""
    reviewed_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    reviewer: str = ""  # who gave the verdict
    presence: tuple[Times, ...] | None = None  # as a person marked it; None: not marked
    verdict_at: datetime | None = None  # None: at reviewed_at, if it is given
    note_at: datetime | None = None
    presence_at: datetime | None = None

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

    def tell_time(self, name: str) -> datetime:
        """Tell when one of FIELDS was given or taken back."""
        given_at = self.reviewed_at if self.has(name) else NEVER
        return getattr(self, f"{name}_at") or given_at

    def has(self, name: str) -> bool:
        return getattr(self, name) not in ("", None)


def name_verdicts(layout: Layout) -> str:
    return join_uri(layout.root_uri, "review", "verdicts.parquet")


def read_verdicts(storage: Storage, layout: Layout) -> dict[str, Verdict]:
    """Read all verdicts of an output by fingerprint; empty if nobody has reviewed it."""
    try:
        return unpack(storage.read(name_verdicts(layout)), name_verdicts(layout))
    except ObjectMissing:
        return {}


@read_again
def list_fingerprints(storage: Storage, layout: Layout) -> set[str]:
    """List the fingerprints of all current rows of the manifest."""
    batches = read_latest(storage, layout, ["fingerprint"])
    return {value for batch in batches for value in batch["fingerprint"].to_pylist()}


def add_verdicts(storage: Storage, layout: Layout, new: Iterable[Verdict]) -> int:
    """Add verdicts to the verdicts of an output; return how many changed anything.

    Adding the same verdicts again, in any order, changes nothing.
    """
    new, uri = list(new), name_verdicts(layout)
    for _ in range(MAX_CONFLICTS):
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
    raise StorageBusy(f"{uri}: others wrote first {MAX_CONFLICTS} times in a row")


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
    """Keep for each stem the verdict, the note and the presence that were given last."""
    merged = dict(old)
    for verdict in new:
        known = merged.get(verdict.fingerprint)
        merged[verdict.fingerprint] = join(known, verdict) if known else verdict
    return merged


def join(known: Verdict, other: Verdict) -> Verdict:
    """Join two verdicts on one stem: of each field, keep what was given or taken back last."""
    first, last = sorted((known, other), key=lambda each: each.reviewed_at)
    latest = {
        name: max((last, first), key=lambda each, name=name: each.tell_time(name))
        for name in FIELDS
    }
    joined = {name: getattr(each, name) for name, each in latest.items()}
    for name, each in latest.items():
        at = each.tell_time(name)
        is_told = at == NEVER or (each.has(name) and at == last.reviewed_at)
        joined[f"{name}_at"] = None if is_told else at
    by = latest["verdict"] if latest["verdict"].tell_time("verdict") > NEVER else last
    return replace(last, reviewer=by.reviewer, **joined)


def guess_time(verdict: str, note: str, reviewed_at: datetime) -> datetime | None:
    """Guess when a verdict was taken back, in files that do not say: an empty one without a note
    was taken back at `reviewed_at`."""
    return None if verdict or note else reviewed_at


def make_schema() -> "pa.Schema":
    import pyarrow as pa  # imported here, because the import takes 0.2 s

    span = pa.struct([("start_s", pa.float64()), ("stop_s", pa.float64())])
    return pa.schema(
        [
            ("fingerprint", pa.string()),
            ("verdict", pa.string()),
            ("note", pa.string()),
            ("reviewed_at", pa.timestamp("us", "UTC")),
            ("reviewer", pa.string()),
            ("presence", pa.list_(span)),
            *((f"{name}_at", pa.timestamp("us", "UTC")) for name in FIELDS),
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
        table = pq.read_table(io.BytesIO(data))
        is_older = "verdict_at" not in table.column_names
        for name in FIELDS if is_older else ():
            nothing = pa.nulls(len(table), pa.timestamp("us", "UTC"))
            table = table.append_column(f"{name}_at", nothing)
        rows = table.select(make_schema().names).cast(make_schema()).to_pylist()
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise OutputDamaged(f"{uri}: is no table of verdicts: {reason}") from None
    found = {}
    for row in rows:
        try:
            found[row["fingerprint"]] = _read_row(row, is_older)
        except (RequestError, TypeError, AttributeError) as error:
            reason = str(error) if isinstance(error, RequestError) else "a value is missing"
            raise OutputDamaged(
                f"{uri}: is no table of verdicts: {row['fingerprint']}: {reason}"
            ) from None
    return found


def _read_row(row: dict[str, Any], is_older: bool) -> Verdict:
    spans = row.pop("presence")
    marked = None if spans is None else tuple((s["start_s"], s["stop_s"]) for s in spans)
    if is_older and marked is None:
        row["verdict_at"] = guess_time(row["verdict"], row["note"], row["reviewed_at"])
    return Verdict(**row, presence=marked)


def parse_time(key: str, text: object, default: Callable[[], Time]) -> datetime | Time:
    """Read a time of a verdict, and return it in UTC; a time without a zone is in UTC."""
    if text in (None, ""):
        return default()
    try:
        found = datetime.fromisoformat(str(text))
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise RequestError(f"{key}={text!r:.60}: is no time in ISO 8601") from None
