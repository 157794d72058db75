"""Name the asset of each row of a list, and read its queries and tracks. Pure.

A row that cannot be used still gets a name, `<list>#row-<number>`, under which it is recorded.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from separator.errors import QueryError, RequestError
from separator.media.choose import check_tracks
from separator.queries import Query, parse_queries
from separator.storage import parse_uri
from separator.storage.tables import ListRow, resolve_uri
from separator.storage.uri import hide_secret, show_uri

LONGEST_INDEX = 10  # digits


@dataclass(frozen=True)
class NamedRow:
    """Hold a row of a list with the name of its asset."""

    uri: str
    columns: dict[str, Any]
    trouble: str = ""  # the reason why the row cannot be used
    path: str = ""


def name_row(list_uri: str, row: ListRow, column: str, may_name_local: bool) -> NamedRow:
    """Find the asset that a row names. `column` holds its URI; `may_name_local` allows files of
    this machine."""
    number = f"{parse_uri(list_uri).uri}#row-{row.number}"
    trouble = row.trouble
    if not trouble:
        try:
            return name_asset(list_uri, row, column, may_name_local)
        except RequestError as error:
            trouble = str(error)
    return NamedRow(number, row.columns, f"{show_uri(number)}: {trouble}")


def name_asset(list_uri: str, row: ListRow, column: str, may_name_local: bool) -> NamedRow:
    if column not in row.columns:
        raise RequestError(f"has no column {column!r}")
    cell = row.columns[column]
    if not isinstance(cell, str) or not cell.strip():
        raise RequestError(f"{column}={cell!r:.80}: is not the name of an asset")
    asset_uri = resolve_uri(list_uri, cell)
    try:
        place = parse_uri(asset_uri)
    except RequestError as error:
        shown = hide_secret(asset_uri) or asset_uri
        if not shown.isprintable():
            raise
        return NamedRow(shown, row.columns, str(error))  # recorded under its name in the list
    trouble = ""
    if not place.bucket and not may_name_local:
        trouble = (
            f"{place.shown}: the list may not name files of the machine that runs the job; set "
            "input.allow_local=true if you trust it"
        )
    return NamedRow(place.uri, row.columns, trouble)


def write_carried(columns: Mapping[str, Any]) -> str:
    """Write columns of a list as JSON: NaN and infinities become null."""
    try:
        cleaned = _clean(dict(columns))
        text = json.dumps(cleaned, default=str, ensure_ascii=False)
        return text if text.isprintable() else json.dumps(cleaned, default=str)
    except RecursionError:
        raise RequestError("input.carry: a cell is nested too deeply") from None


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


def read_queries(value: Any) -> list[Query]:
    """Read the queries in a list's cell: a text, a list of texts or {name, text}, also as JSON."""
    value = _read_json(value)
    if value is None or value == "" or value == []:
        return []
    queries = parse_queries([value] if isinstance(value, str | dict) else value)
    if named := [query.name for query in queries if query.files]:
        raise QueryError(
            f"query {named[0]!r}: a list's own queries are texts; sounds and images are given "
            "in the config, for all assets"
        )
    if named := [query.name for query in queries if query.classes]:
        raise QueryError(
            f"query {named[0]!r}: a list's own queries have no classes; give them in the config, "
            "to a query of this text: they count for its text in all rows"
        )
    return queries


def read_tracks(value: Any, default: Any) -> Any:
    """Read the tracks in a list's cell: `tracks` as in a config, also as JSON; or one index."""
    value = _read_json(value)
    if value is None or value == "":
        return default
    if isinstance(value, str) and value.isdecimal() and len(value) < LONGEST_INDEX:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    check_tracks(value)
    return value


def _read_json(value: Any) -> Any:
    """Read the cell of a list that may hold JSON; blanks around a text do not count."""
    if isinstance(value, bytes):
        raise QueryError(f"{value!r:.80}: is binary; write the column as text")
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise QueryError(f"{text[:80]!r} is not JSON: {error}") from None
    except RecursionError:
        raise QueryError(f"{text[:80]!r} is nested too deeply") from None
