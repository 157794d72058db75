"""Read lists of objects from Parquet, CSV, JSONL, AudioSep's JSON, or a file of URIs.

Rows are streamed: only one batch is in memory.
"""

import csv
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from separator.errors import RequestError
from separator.storage.storage import Storage
from separator.storage.uri import parse_uri

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson", ".json", ".txt")
URI_COLUMNS = ("uri", "asset_uri", "url", "path", "file")

Row = dict[str, Any]


def is_list(uri: str) -> bool:
    return uri.lower().endswith(SUFFIXES)


def read_rows(storage: Storage, uri: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a list, or of a folder's Parquet files. `columns`: the ones to read."""
    entries = [uri] if is_list(uri) else [e.uri for e in storage.list(uri, ["*.parquet"])]
    for entry_uri in entries:
        entry = storage.stat(entry_uri)
        with tempfile.TemporaryDirectory() as name, storage.on_disk(entry, Path(name)) as path:
            yield from _read_file(entry_uri, path, columns)


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
    return parse_uri(list_uri).uri.rpartition("/")[0] + "/" + uri


def _read_file(uri: str, path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    suffix = "." + uri.lower().rpartition(".")[2]
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq  # imported here: it costs 0.2 s

            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(4096, columns=columns):
                    yield from batch.to_pylist()
        elif suffix == ".csv":
            # utf-8-sig: files from spreadsheets begin with a byte order mark.
            with path.open(newline="", encoding="utf-8-sig") as file:
                yield from csv.DictReader(file)
        elif suffix == ".json":
            content = json.loads(path.read_bytes())
            if not (isinstance(content, dict) and isinstance(content.get("data"), list)):
                raise ValueError('must hold {"data": [{"wav": ..., "caption": ...}, ...]}')
            yield from content["data"]
        else:
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield {"uri": line.strip()} if suffix == ".txt" else _parse(line, number)
    except (ValueError, csv.Error) as error:  # pyarrow's and json's errors are ValueErrors
        raise RequestError(f"{uri}: {str(error).splitlines()[0]}") from None


def _parse(line: str, number: int) -> Row:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
