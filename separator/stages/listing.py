"""What is asked of which asset: rows from a folder or a list, without what is done already.

Generators and pure functions; `pipeline.py` runs them where the data is.
"""

import contextlib
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from separator.config import InputSettings, JobConfig, check_renditions
from separator.errors import QueryError, RequestError, StorageError
from separator.queries import Query
from separator.results.manifest import hash_requests, is_known
from separator.results.paths import make_asset_path
from separator.results.record import hash_request
from separator.rows import AssetRow
from separator.stages.work import Asked, list_items, read_queries, read_tracks
from separator.storage import Entry, Storage, parse_uri
from separator.storage.tables import find_uri_column, is_list, read_rows, resolve_uri

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOKERS = 16  # assets of a list that are looked at side by side
MOST_TEXTS = 50_000  # 2 KB each, on every node

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Known:
    """Sorted hashes of requests: what needs nothing more, and, if given, all that is wanted."""

    done: np.ndarray
    wanted: np.ndarray | None = None

    def leave_out(self, row: AssetRow) -> AssetRow | None:
        """The row with the queries that are still to be done; None if there are none."""
        queries = json.loads(row["queries"])
        hashes = hash_requests([query["request"] for query in queries])
        is_open = ~is_known(hashes, self.done)
        if self.wanted is not None:
            is_open &= is_known(hashes, self.wanted)
        left = {query["name"] for query, chosen in zip(queries, is_open, strict=True) if chosen}
        # A mix, or what is left without all stems, is made of stems: those are made with it.
        left |= {name for query in queries if query["name"] in left for name in query["needs"]}
        left = [query for query in queries if query["name"] in left]
        return AssetRow(**(row | {"queries": json.dumps(left)})) if left else None  # pyright: ignore

    def add(self, requests: set[str]) -> "Known":
        return Known(np.union1d(self.done, hash_requests(sorted(requests))), self.wanted)


def collect_texts(storage: Storage, config: JobConfig) -> list[str]:
    """Every text that is asked for, in the config or in a list; bad ones are left for their row."""
    texts = dict.fromkeys(query.text for query in config.parse_queries())
    column = config.input.queries_column
    if column is not None:
        for row in read_rows(storage, config.input.uri, [column]):
            with contextlib.suppress(QueryError):
                texts |= dict.fromkeys(query.text for query in read_queries(row.get(column)))
            if len(texts) > MOST_TEXTS:
                raise RequestError(
                    f"input.queries_column={column!r}: more than {MOST_TEXTS:,} different texts; "
                    "divide the list"
                )
    return list(texts)


def list_assets(
    storage: Storage, config: JobConfig, asked: Asked, twice: list[str] | None = None
) -> Iterator[AssetRow]:
    """Every asset of the input in turn, of this shard and within the limit.

    The first row of a list that names an asset counts; URIs named again are added to `twice`.
    """
    shard, num_shards = config.parse_shard()

    def is_ours(asset_uri: str) -> bool:
        return int(hash_request(asset_uri), 16) % num_shards == shard

    if is_list(config.input.uri):
        rows = _read_list(storage, config, asked, is_ours, [] if twice is None else twice)
    else:
        rows = _list_folder(storage, config.input, asked, is_ours)
    yield from itertools.islice(rows, config.run.limit)


def _list_folder(
    storage: Storage, chosen: InputSettings, asked: Asked, is_ours: Callable[[str], bool]
) -> Iterator[AssetRow]:
    for entry in storage.list(chosen.uri, chosen.include, chosen.exclude):
        if is_ours(entry.uri):
            yield make_row(entry, chosen.uri, asked)


def _read_list(
    storage: Storage,
    config: JobConfig,
    asked: Asked,
    is_ours: Callable[[str], bool],
    twice: list[str],
) -> Iterator[AssetRow]:
    chosen, uri = config.input, config.input.uri
    rows = read_rows(storage, uri)
    first = next(rows, None)
    if first is None:
        return
    column = find_uri_column(list(first), chosen.uri_column, uri)
    _check_columns(list(first), chosen)

    def choose() -> Iterator[tuple[str, dict[str, Any]]]:
        """Before anything is asked of storage: one look at every asset, by one shard."""
        seen: set[int] = set()
        for row in itertools.chain([first], rows):
            asset_uri = resolve_uri(uri, str(row[column]))
            with contextlib.suppress(RequestError):  # it gets its record as it is called there
                asset_uri = parse_uri(asset_uri).uri
            if not is_ours(asset_uri):
                continue
            if hash(asset_uri) in seen:
                twice.append(asset_uri)
                continue
            seen.add(hash(asset_uri))
            yield asset_uri, row

    def look(item: tuple[str, dict[str, Any]]) -> AssetRow:
        asset_uri, row = item
        try:
            entry = storage.stat(asset_uri)
        except (StorageError, RequestError):
            # It gets its record like any other: `extract` meets the same trouble.
            entry = Entry(asset_uri, 0, "", EPOCH)
        return make_row(entry, None, asked, row, chosen)

    yield from map_ahead(look, choose(), LOOKERS)


def _check_columns(columns: Sequence[str], chosen: InputSettings) -> None:
    if "json" in chosen.uri.lower().rpartition(".")[2]:
        return  # a row says only what it has
    wanted = [("queries_column", chosen.queries_column), ("tracks_column", chosen.tracks_column)]
    for key, name in [*wanted, *(("carry", name) for name in chosen.carry)]:
        if name is not None and name not in columns:
            raise RequestError(f"input.{key}={name!r}: {chosen.uri} has the columns {columns}")


def make_row(
    entry: Entry,
    root_uri: str | None,
    asked: Asked,
    row: dict[str, Any] | None = None,
    chosen: InputSettings | None = None,
) -> AssetRow:
    """`row`: of a list, with columns that say what is asked of this asset alone."""
    queries, tracks, trouble, carried = list(asked.queries), asked.tracks, "", {}
    if row is not None and chosen is not None:
        carried = {name: row.get(name) for name in chosen.carry}
        try:
            # Columns only where they are asked for: pandas writes its index under the name "".
            if chosen.tracks_column is not None:
                tracks = read_tracks(row.get(chosen.tracks_column), tracks)
            if chosen.queries_column is not None:
                queries = read_queries(row.get(chosen.queries_column)) or queries
            if not queries:
                raise QueryError("neither its list nor the config asks for anything")
            check_renditions(asked.output, queries)
        except RequestError as error:
            trouble = f"{entry.uri}: {error}"
            queries = queries or [Query("", "")]
    version = [entry.uri, entry.etag, entry.num_bytes]
    items = list_items(queries, asked, [version, tracks, trouble])
    return AssetRow(
        asset_uri=entry.uri,
        asset_path=make_asset_path(entry.uri, root_uri),
        asset_etag=entry.etag,
        asset_bytes=entry.num_bytes,
        modified_at=entry.modified_at.isoformat(),
        queries=json.dumps(items),
        tracks=json.dumps(tracks),
        trouble=trouble,
        carried=json.dumps(carried, default=str, ensure_ascii=False) if carried else "",
    )


def map_ahead(
    function: Callable[[In], Out], items: Iterator[In], num_threads: int
) -> Iterator[Out]:
    """As `map`, in order, a few items ahead of what has been asked for."""
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def pack(rows: Iterator[AssetRow], most: int, most_bytes: int) -> Iterator[Sequence[AssetRow]]:
    """Small assets together: what Ray moves in a second are rows, some 77 of them."""
    held: list[AssetRow] = []
    for row in rows:
        held.append(row)
        if len(held) == most or sum(r["asset_bytes"] for r in held) >= most_bytes:
            yield held
            held = []
    if held:
        yield held
