"""Read lists of objects from Parquet, CSV, JSONL, AudioSep's JSON, or a file of URIs.

Rows are streamed: only one batch is in memory.
"""

import codecs
import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from separator.errors import RequestError
from separator.storage.storage import Storage
from separator.storage.temporary import temporary_folder
from separator.storage.uri import parse_uri, show_uri

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson", ".json", ".txt")
URI_COLUMNS = ("uri", "asset_uri", "url", "path", "file", "wav")
LONGEST_FIELD = 1 << 24  # characters of one field of a CSV file
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # Windows' PowerShell writes such files
# Errors of pyarrow: damaged pages, and values that Python's types cannot hold, such as a time after
# the year 9999 or in an unknown zone.
DAMAGED = (ValueError, OSError, ArithmeticError, LookupError, TypeError, RuntimeError, MemoryError)

Row = dict[str, Any]


@dataclass(frozen=True)
class ListRow:
    """Hold a row of a list, or the reason why it cannot be read."""

    number: int  # from 1 on; empty lines count, but not in CSV, nor does its header
    columns: Row
    trouble: str = ""


def is_list(uri: str) -> bool:
    return uri.lower().endswith(SUFFIXES)


def read_rows(storage: Storage, uri: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a list, or of a folder's Parquet files. `columns`: the ones to read."""
    entries = [uri] if is_list(uri) else [e.uri for e in storage.list(uri, ["*.parquet"])]
    for entry_uri in filter(is_list, entries):
        for row in read_list(storage, entry_uri, columns):
            if row.trouble:
                raise RequestError(f"{entry_uri}: row {row.number} {row.trouble}")
            yield row.columns


def read_list(
    storage: Storage, uri: str, columns: Sequence[str] | None = None
) -> Iterator[ListRow]:
    """Yield all rows of one list, also those that cannot be read."""
    entry = storage.stat(uri)
    with temporary_folder() as folder, storage.on_disk(entry, folder) as path:
        try:
            for number, found in enumerate(_read_file(uri, path, columns), start=1):
                match found:
                    case dict():
                        yield ListRow(number, found)
                    case str():
                        yield ListRow(number, {}, found)
        except (ValueError, RecursionError, csv.Error) as error:  # pyarrow raises ValueErrors
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RequestError(f"{uri}: {reason}") from None


def find_uri_column(columns: Sequence[str], wanted: str | None, uri: str) -> str:
    """Find the column that names objects: the wanted one, or the first with a usual name."""
    names = (wanted,) if wanted else URI_COLUMNS
    if found := [name for name in names if name in columns]:
        return found[0]
    raise RequestError(
        f"{uri}: has the columns {list(columns)}; needed is one of {names}: set input.uri_column"
    )


def resolve_uri(list_uri: str, uri: str) -> str:
    """Resolve a relative path in a list against the list's folder."""
    if "://" in uri or uri.startswith("/"):
        return uri
    folder = parse_uri(list_uri).uri.rpartition("/")[0]
    if folder.startswith("file://"):  # percent-encoded, and so is a name in it
        try:
            uri = quote_from_bytes(os.fsencode(uri))
        except UnicodeEncodeError:
            raise RequestError(f"{show_uri(uri)}: is not valid text") from None
    return f"{folder}/{uri}"


def _read_file(uri: str, path: Path, columns: Sequence[str] | None) -> Iterator[Row | str | None]:
    """Yield a dict for a row, a text for one that cannot be read, None for an empty line."""
    suffix = "." + uri.lower().rpartition(".")[2]
    if suffix == ".parquet":
        yield from _read_parquet(path, columns)
        return
    if suffix == ".json":
        content = json.loads(path.read_bytes())
        rows = content.get("data") if isinstance(content, dict) else content or None
        if not isinstance(rows, list):
            raise ValueError('must hold rows: [{"uri": ...}, ...], or {"data": [...]}')
        yield from map(_check, rows)
        return
    csv.field_size_limit(LONGEST_FIELD)
    # A name that is no UTF-8 is kept as it is.
    with path.open(newline="", encoding=_find_encoding(path), errors="surrogateescape") as file:
        if suffix == ".csv":
            yield from _read_csv(csv.DictReader(file, strict=True))
            return
        parse = _parse if suffix in (".jsonl", ".ndjson") else _name
        for line in file:
            yield parse(line.rstrip("\r\n")) if line.strip() else None


def _read_parquet(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    import pyarrow.parquet as pq  # imported here, because the import takes 0.2 s

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(4096, columns=columns):
                yield from batch.to_pylist()
    except DAMAGED as error:
        raise ValueError(f"cannot be read: {type(error).__name__}: {error}") from None


def _find_encoding(path: Path) -> str:
    """Find the encoding of a text by its byte order mark, which files from spreadsheets have."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in UTF_16 else "utf-8-sig"


def _read_csv(rows: "csv.DictReader[str]") -> Iterator[Row | str]:
    """Yield the rows of a CSV file; after one with wrong quotes, go on with the next line."""
    if rows.fieldnames is None:  # an empty file; an error in the header is one of the whole list
        return
    while True:
        try:
            yield _check_fields(next(rows))
        except StopIteration:
            return
        except csv.Error as error:
            yield (
                f"is no CSV: {error}; close each quote, and write one in a field twice (rows "
                "behind an open quote are lost)"
            )


def _check_fields(row: dict[str | None, Any]) -> Row | str:
    """Refuse a row with more fields than there are columns: an unquoted comma moves the others."""
    if any(row.pop(None, ())):
        return "has more fields than the list has columns: put a field with a comma into quotes"
    return row  # pyright: ignore[reportReturnType]


def _name(line: str) -> Row:
    return {"uri": line.strip()}


def _parse(line: str) -> Row | str:
    try:
        return _check(json.loads(line))
    except RecursionError:
        return "is nested too deeply"
    except ValueError as error:
        return f"is no JSON: {error}"


def _check(content: Any) -> Row | str:
    if isinstance(content, dict):
        return content
    return f"is {content!r:.40}, not an object with columns"
