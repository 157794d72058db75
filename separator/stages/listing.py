"""List the assets of a folder or a list, each with the work that is left to do on it.

Generators and pure functions; `run/pipeline.py` runs them as the first stage of the flow.
"""

import contextlib
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from separator.config import JobConfig, check_renditions
from separator.errors import QueryError, RequestError, StorageError
from separator.queries import Query
from separator.results.manifest import hash_requests, is_known
from separator.results.paths import make_asset_path
from separator.results.record import hash_content
from separator.rows import Asset
from separator.stages.work import Work, list_items, read_queries, read_tracks
from separator.storage import Entry, Storage, parse_uri
from separator.storage.tables import find_uri_column, is_list, read_rows, resolve_uri

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STAT_THREADS = 16
MAX_TEXTS = 50_000  # 2 KB each, on every node

In = TypeVar("In")
Out = TypeVar("Out")
ListRow = dict[str, Any]


@dataclass(frozen=True)
class DoneItems:
    """Sorted hashes of work item ids: those that are done and, if given, the only wanted ones."""

    done: np.ndarray
    wanted: np.ndarray | None = None

    def select_pending(self, asset: Asset) -> Asset | None:
        """Keep the work items of an asset that are left to do; None if there are none."""
        # An output of the first release holds its ids.
        ids = [
            hash_requests([item.id for item in asset.items]),
            hash_requests([item.former_id for item in asset.items]),
        ]
        is_open = ~np.any([is_known(each, self.done) for each in ids], axis=0)
        if self.wanted is not None:
            is_open &= np.any([is_known(each, self.wanted) for each in ids], axis=0)
        pairs = zip(asset.items, is_open, strict=True)
        names = {item.name for item, chosen in pairs if chosen}
        # A rendition is made of stems: they are made with it.
        names |= {name for item in asset.items if item.name in names for name in item.needs}
        items = tuple(item for item in asset.items if item.name in names)
        return replace(asset, items=items) if items else None

    def add(self, ids: set[str]) -> "DoneItems":
        return DoneItems(np.union1d(self.done, hash_requests(sorted(ids))), self.wanted)


def collect_texts(storage: Storage, config: JobConfig) -> list[str]:
    """Collect the texts of all queries, of the config and of a list; a bad cell is left for the
    record of its row."""
    texts = dict.fromkeys(query.text for query in config.parse_queries())
    column = config.input.queries_column
    if column is not None:
        for row in read_rows(storage, config.input.uri, [column]):
            with contextlib.suppress(QueryError):
                texts |= dict.fromkeys(query.text for query in read_queries(row.get(column)))
            if len(texts) > MAX_TEXTS:
                raise RequestError(
                    f"input.queries_column={column!r}: more than {MAX_TEXTS:,} different texts; "
                    "divide the list"
                )
    return list(texts)


class Listing:
    """Iterate over the assets of the input, of this shard and within the limit."""

    def __init__(self, storage: Storage, config: JobConfig, work: Work) -> None:
        self.storage, self.config, self.work = storage, config, work
        self.num_duplicates = 0  # rows of a list that named an asset again, so far
        self.shard, self.num_shards = config.parse_shard()

    def __iter__(self) -> Iterator[Asset]:
        is_table = is_list(self.config.input.uri)
        assets = self._read_list() if is_table else self._list_folder()
        return itertools.islice(assets, self.config.run.limit)

    def _is_ours(self, asset_uri: str) -> bool:
        return int(hash_content(asset_uri), 16) % self.num_shards == self.shard

    def _list_folder(self) -> Iterator[Asset]:
        chosen = self.config.input
        for entry in self.storage.list(chosen.uri, chosen.include, chosen.exclude):
            if self._is_ours(entry.uri):
                path = make_asset_path(entry.uri, chosen.uri)
                yield make_asset(entry, path, self.work, list(self.work.queries), self.work.tracks)

    def _read_list(self) -> Iterator[Asset]:
        rows = read_rows(self.storage, self.config.input.uri)
        first = next(rows, None)
        if first is None:
            return
        columns, uri = list(first), self.config.input.uri
        uri_column = find_uri_column(columns, self.config.input.uri_column, uri)
        self._check_columns(columns)
        named = (
            (_name_asset(uri, str(row[uri_column])), row) for row in itertools.chain([first], rows)
        )
        # Before storage is asked: each asset is looked at once, and by one shard only.
        ours = ((name, row) for name, row in named if self._is_ours(name))
        yield from map_ahead(self._make_listed, self._deduplicate(ours), STAT_THREADS)

    def _deduplicate(self, named: Iterator[tuple[str, ListRow]]) -> Iterator[tuple[str, ListRow]]:
        """Pass on the first row of each asset."""
        seen: set[int] = set()
        for name, row in named:
            if hash(name) in seen:
                self.num_duplicates += 1
                continue
            seen.add(hash(name))
            yield name, row

    def _make_listed(self, item: tuple[str, ListRow]) -> Asset:
        """Make the asset of a row of the list, with the columns that are its own."""
        asset_uri, row = item
        chosen, work, trouble = self.config.input, self.work, ""
        try:
            entry = self.storage.stat(asset_uri)
        except (StorageError, RequestError):
            # It gets its record like any other: `extract` meets the same error.
            entry = Entry(asset_uri, 0, "", EPOCH)
        queries, tracks = list(work.queries), work.tracks
        try:
            # Columns only where they are configured: pandas writes its index under the name "".
            if chosen.tracks_column is not None:
                tracks = read_tracks(row.get(chosen.tracks_column), tracks)
            if chosen.queries_column is not None:
                queries = read_queries(row.get(chosen.queries_column)) or queries
            if not queries:
                raise QueryError("neither its list nor the config has a query for it")
            check_renditions(work.output, queries)
        except RequestError as error:
            trouble = f"{entry.uri}: {error}"
            queries = queries or [Query("", "")]
        carried = {name: row.get(name) for name in chosen.carry}
        text = json.dumps(carried, default=str, ensure_ascii=False) if carried else ""
        path = make_asset_path(entry.uri, None)
        return make_asset(entry, path, work, queries, tracks, trouble, text)

    def _check_columns(self, columns: Sequence[str]) -> None:
        chosen = self.config.input
        if "json" in chosen.uri.lower().rpartition(".")[2]:
            return  # a row names only the columns that it has
        wanted = [(key, getattr(chosen, key)) for key in ("queries_column", "tracks_column")]
        for key, name in [*wanted, *(("carry", name) for name in chosen.carry)]:
            if name is not None and name not in columns:
                raise RequestError(f"input.{key}={name!r}: {chosen.uri} has the columns {columns}")


def _name_asset(list_uri: str, cell: str) -> str:
    asset_uri = resolve_uri(list_uri, cell)
    with contextlib.suppress(RequestError):  # else it gets its record under the name in the list
        asset_uri = parse_uri(asset_uri).uri
    return asset_uri


def make_asset(
    entry: Entry,
    path: str,
    work: Work,
    queries: Sequence[Query],
    tracks: Any,
    trouble: str = "",
    carried: str = "",
) -> Asset:
    version = [entry.uri, entry.etag, entry.num_bytes]
    return Asset(
        uri=entry.uri,
        path=path,
        etag=entry.etag,
        num_bytes=entry.num_bytes,
        modified_at=entry.modified_at.isoformat(),
        items=list_items(queries, work, version, [tracks, trouble]),
        tracks=tracks,
        trouble=trouble,
        carried=carried,
    )


def map_ahead(
    function: Callable[[In], Out], items: Iterator[In], num_threads: int
) -> Iterator[Out]:
    """Apply a function in threads, in order, at most `4 * num_threads` items ahead of the reader.

    >>> list(map_ahead(str, iter(range(3)), num_threads=2))
    ['0', '1', '2']
    """
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def pack(assets: Iterator[Asset], max_assets: int, max_bytes: int) -> Iterator[tuple[Asset, ...]]:
    """Group small assets: Ray Data dispatches about 77 rows a second."""
    held: list[Asset] = []
    for asset in assets:
        held.append(asset)
        if len(held) == max_assets or sum(each.num_bytes for each in held) >= max_bytes:
            yield tuple(held)
            held = []
    if held:
        yield tuple(held)
