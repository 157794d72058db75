"""Find the cases of a protocol: read its lists, and check that every file exists before scoring."""

import csv
import hashlib
import io
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from separator.errors import ObjectMissing, RequestError
from separator.evaluation.protocol import FIELD, Protocol, ProtocolSettings, QuerySource, TableFile
from separator.storage import Entry, Storage, parse_uri

Columns = dict[str, str]
SHOWN = 3  # file names in a message
MIDDLE_FRAMES = "middle_frames"  # a column that `halves` adds
FILE_KINDS = ("audio", "image", "video")


@dataclass(frozen=True)
class ProtocolCase:
    """One case: columns of its row, its files by part (target, mixture, noise)."""

    number: int
    columns: Columns
    files: dict[str, Entry] = field(default_factory=dict)
    example_files: dict[str, tuple[Entry, ...]] = field(default_factory=dict)  # by query name
    kind: str = ""

    def describe(self) -> list[Any]:
        """Return the values that its figures depend on, apart from the query and the model."""
        files = {part: [e.uri, e.num_bytes, e.etag] for part, e in sorted(self.files.items())}
        return [self.number, self.columns, files]


def read_table(storage: Storage, folder: str, table: TableFile) -> tuple[list[Columns], str]:
    """Read a list; also return a note if it is not the official one."""
    uri = f"{folder.rstrip('/')}/{table.file}"
    try:
        data = storage.read(uri)
    except ObjectMissing:
        raise RequestError(
            f"{uri}: no such file; lists=... is the folder of the official lists"
        ) from None
    rows = parse_rows(uri, data, table.columns)
    note = ""
    if table.sha256 and not hashlib.sha256(data).hexdigest().startswith(table.sha256):
        note = f"{table.file} is not the official list ({len(rows)} rows, {table.num_rows} there)"
    return rows, note


def parse_rows(uri: str, data: bytes, names: Sequence[str] = ()) -> list[Columns]:
    """Parse CSV with any ends of lines; blanks around names are dropped, values stay as they are.

    The second of two equal names is called NAME_2.
    """
    try:
        text = data.decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{uri}: {error}") from None
    given = list(names) or name_columns(lines.pop(0) if lines else [])
    if not lines:
        raise RequestError(f"{uri}: no rows in it")
    for number, line in enumerate(lines, start=1):
        if len(line) != len(given):
            raise RequestError(
                f"{uri}: row {number} has {len(line)} values; {len(given)} are needed: "
                f"{', '.join(given)}"
            )
    return [dict(zip(given, line, strict=True)) for line in lines]


def name_columns(header: Iterable[str]) -> list[str]:
    names: list[str] = []
    for name in (each.strip() for each in header):
        names.append(f"{name}_2" if name in names else name)
    return names


def find_cases(
    storage: Storage, settings: ProtocolSettings
) -> tuple[list[ProtocolCase], list[str]]:
    """List all cases with their files, and notes on what is not official."""
    protocol, queries = settings.protocol, settings.chosen_queries
    data, lists = settings.data, settings.lists
    listing = list_files(storage, data)
    cases, notes, where = protocol.cases, [], data
    if cases.file:
        where = f"{lists.rstrip('/')}/{cases.file}"
        rows, note = read_table(storage, lists, cases)
        notes.append(note)
    else:
        rows = match_names(data, sorted(listing), cases.folder)
    columns = add_columns(storage, settings, rows, notes)
    check_columns(where, protocol, queries, columns)
    rows = take_first(columns, protocol.kind, cases.most_of_kind)
    if cases.num_rows and len(rows) != cases.num_rows:
        notes.append(f"{len(rows)} cases; the official set has {cases.num_rows}")
    names = {
        part: [fill(pattern, row) for row in rows] for part, pattern in protocol.patterns.items()
    }
    if protocol.mixing == "halves":
        names["noise"] = draw_noises(storage, settings, rows, notes)
    extra = {name: [split_files(row, protocol.queries[name]) for row in rows] for name in queries}
    wanted = [name for part in names.values() for name in part]
    wanted += [name for files in extra.values() for row in files for name in row]
    refuse_missing(data, listing, wanted)
    found = [
        ProtocolCase(
            number,
            row,
            {part: listing[of[number]] for part, of in names.items()},
            {name: tuple(listing[each] for each in of[number]) for name, of in extra.items()},
            row.get(protocol.kind, ""),
        )
        for number, row in enumerate(rows)
    ]
    return found, [note for note in notes if note]


def list_files(storage: Storage, data: str) -> dict[str, Entry]:
    """List the data's files by their names within it."""
    root = parse_uri(data).uri.rstrip("/") + "/"
    try:
        return {entry.uri.removeprefix(root): entry for entry in storage.list(data)}
    except ObjectMissing:
        raise RequestError(f"data={data!r}: no such folder") from None


def match_names(data: str, names: Sequence[str], pattern: str) -> list[Columns]:
    """Take the fields of a pattern from the names that match it."""
    parts = FIELD.split(pattern)
    seen: set[str] = set()
    text = ""
    for i, part in enumerate(parts):
        if i % 2 == 0:
            text += re.escape(part)
        else:
            text += f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+?)"
            seen.add(part)
    matches = [re.fullmatch(text, name) for name in names]
    found = [match.groupdict() for match in matches if match]
    if not found:
        raise RequestError(f"data={data!r}: {len(names)} files, none of them named as {pattern}")
    return found


def add_columns(
    storage: Storage, settings: ProtocolSettings, rows: list[Columns], notes: list[str]
) -> list[Columns]:
    """Join the table of classes, and the user's table; only rows of the latter are then kept."""
    classes, also = settings.protocol.classes, settings.also
    if classes.file:
        table, note = read_table(storage, settings.lists, classes)
        notes.append(note)
        if classes.key not in table[0]:
            raise RequestError(
                f"{classes.file}: has the columns {', '.join(table[0])}; {classes.key} is needed: "
                "is this the list of another set?"
            )
        if (of := classes.of) not in rows[0]:
            raise RequestError(
                f"protocol.classes.of={of!r}: the rows have the columns {', '.join(rows[0])}"
            )
        by_key = {row[classes.key].strip(): row for row in table}
        # The rows' own columns stay first: the user's table is joined by the very first.
        rows = [row | by_key.get(row[of], {}) | row for row in rows]
    if also:
        key = next(iter(rows[0]))
        table = parse_rows(also, storage.read(also))
        if key not in table[0]:
            raise RequestError(f"also={also!r}: has the columns {list(table[0])}; needed is {key}")
        by_key = {row[key].strip(): row for row in table}
        if len(by_key) < len(table):
            raise RequestError(f"also={also!r}: has the same {key} twice")
        if unknown := by_key.keys() - {row[key].strip() for row in rows}:
            raise RequestError(
                f"also={also!r}: {len(unknown)} of its {len(by_key)} rows are not in the list, "
                f"{key}={min(unknown)!r} for one"
            )
        rows = [row | by_key[row[key].strip()] for row in rows if row[key].strip() in by_key]
        notes.append(f"only the {len(rows)} cases of {also}")
    return rows


def check_columns(
    where: str, protocol: Protocol, queries: Sequence[str], rows: list[Columns]
) -> None:
    """Refuse rows that lack a column which the protocol or a query needs."""
    patterns = [] if protocol.mixing == "generated" else protocol.patterns.values()
    needed = [name for pattern in patterns for name in FIELD.findall(pattern)]
    needed += [protocol.kind] if protocol.kind else []
    needed += ["snr"] if protocol.mixing == "at_snr" else []
    needed += ["audio", "frames", "num_frames"] if protocol.mixing == "halves" else []
    for number, row in enumerate(rows, start=1):
        if missing := [name for name in dict.fromkeys(needed) if name not in row]:
            raise RequestError(
                f"{where}: row {number} has the columns {', '.join(row)}; {missing[0]} is needed "
                f"for {protocol.name}: is this the list of another set?"
            )
        for name in queries:
            column = protocol.queries[name].column
            if not column or (protocol.mixing == "halves" and column == MIDDLE_FRAMES):
                continue
            if column not in row:
                own = ": add it by a table of your own, also=own.csv"
                advice = "" if protocol.mixing == "generated" else own
                raise RequestError(
                    f"query={name}: row {number} has the columns {', '.join(row)}; {column} is "
                    f"needed{advice}"
                )
            if not row[column].strip():
                raise RequestError(f"query={name}: row {number}: its {column} is empty")


def take_first(rows: list[Columns], kind: str, most: int) -> list[Columns]:
    """Take the first `most` rows of each class; 0: all."""
    if not most:
        return rows
    counts: dict[str, int] = {}
    taken = []
    for row in rows:
        counts[row[kind]] = counts.get(row[kind], 0) + 1
        if counts[row[kind]] <= most:
            taken.append(row)
    return taken


def draw_noises(
    storage: Storage, settings: ProtocolSettings, rows: list[Columns], notes: list[str]
) -> list[str]:
    """Draw the noise of each row as CLIPSep does. Add the noise's columns to the row with the
    prefix noise_, and the three frames of the row's own video that an image query takes."""
    protocol = settings.protocol
    noises, note = read_table(storage, settings.lists, protocol.noises)
    notes.append(note)
    for name in ("num_frames", *FIELD.findall(protocol.target)):
        if name not in noises[0]:
            raise RequestError(
                f"{protocol.noises.file}: has the columns {', '.join(noises[0])}; {name} is needed"
            )
    names = []
    for number, row in enumerate(rows):
        drawn = noises[random.Random(number).randint(0, len(noises) - 1)]
        rows[number] = row | {f"noise_{key}": value for key, value in drawn.items()}
        rows[number][MIDDLE_FRAMES] = ";".join(name_middle_frames(row))
        names.append(fill(protocol.target, drawn))
    return names


def name_middle_frames(row: Columns) -> list[str]:
    """Name the three frames around the middle of a video, one a second."""
    if not row["num_frames"].strip().isdigit():
        raise RequestError(
            f"{row['audio']}: num_frames={row['num_frames']!r} in the list: must be a number"
        )
    middle = int(row["num_frames"]) // 2
    return [f"{row['frames'].strip()}/{middle + offset:06d}.jpg" for offset in (-1, 0, 1)]


def fill(pattern: str, row: Columns) -> str:
    return FIELD.sub(lambda match: row[match[1]].strip(), pattern)


def split_files(row: Columns, query: QuerySource) -> list[str]:
    if query.kind not in FILE_KINDS:
        return []
    return [name.strip() for name in row[query.column].split(";") if name.strip()]


def refuse_missing(data: str, listing: dict[str, Entry], wanted: Sequence[str]) -> None:
    names = list(dict.fromkeys(wanted))
    if missing := [name for name in names if name not in listing]:
        shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        raise RequestError(
            f"data={data!r}: {len(missing)} of {len(names)} files are missing ({shown}); "
            f"{len(listing)} files are there"
        )
