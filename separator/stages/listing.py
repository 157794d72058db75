"""List the assets of a folder or a list, each with all of its work items.

`run/lister.py` drops the work items that are done, and makes this the first stage of the flow.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from separator.config import JobConfig
from separator.config_output import check_renditions, check_residuals
from separator.errors import (
    BucketMissing,
    ObjectMissing,
    QueryError,
    RequestError,
    StorageError,
)
from separator.queries import Query
from separator.results.paths import disambiguate, make_asset_path
from separator.results.record import hash_content
from separator.rows import Asset
from separator.stages.list_rows import (
    NamedRow,
    name_row,
    read_queries,
    read_tracks,
    write_carried,
)
from separator.stages.work import Work, list_items
from separator.storage import Entry, Storage
from separator.storage.tables import URI_COLUMNS, find_uri_column, is_list, read_list
from separator.storage.uri import EPOCH, show_uri

STAT_THREADS = 16
MAX_TEXTS = 50_000  # the condition of each takes 2 KB on every node

In = TypeVar("In")
Out = TypeVar("Out")


def collect_texts(storage: Storage, config: JobConfig) -> list[str]:
    """Collect the texts of all queries in the config and in a list. A bad cell is skipped here: the
    record of its row will report it."""
    texts = dict.fromkeys(query.text for query in config.parse_queries() if not query.files)
    column = config.input.queries_column
    if column is not None:
        for row in read_list(storage, config.input.uri, [column]):
            with contextlib.suppress(QueryError):
                queries = read_queries(row.columns.get(column))
                texts |= dict.fromkeys(query.text for query in queries)
            if len(texts) > MAX_TEXTS:
                raise RequestError(
                    f"input.queries_column={column!r}: more than {MAX_TEXTS:,} different texts; "
                    "divide the list"
                )
    return list(texts)


class Listing:
    """Iterate over the assets of the input that belong to this shard, up to the limit."""

    def __init__(self, storage: Storage, config: JobConfig, work: Work) -> None:
        self.storage, self.config, self.work = storage, config, work
        self.num_duplicates = 0  # rows of a list that named an asset again, so far
        self.shard, self.num_shards = config.run.parse_shard()

    def __iter__(self) -> Iterator[Asset]:
        is_table = is_list(self.config.input.uri)
        assets = self._read_list() if is_table else self._list_folder()
        try:
            yield from itertools.islice(assets, self.config.run.limit)
        except (BucketMissing, ObjectMissing) as error:  # the folder or the list is missing
            raise type(error)(f"input.uri: {error}") from None

    def _is_ours(self, asset_uri: str) -> bool:
        is_whole = self.num_shards == 1  # hash no name in vain
        return is_whole or int(hash_content(asset_uri), 16) % self.num_shards == self.shard

    def _list_folder(self) -> Iterator[Asset]:
        chosen, work = self.config.input, self.work
        found = self.storage.list(chosen.uri, chosen.include, chosen.exclude, with_errors=True)
        for entry in found:
            if self._is_ours(entry.uri):
                path = make_asset_path(entry.uri, chosen.uri)
                yield make_asset(entry, path, work, work.queries, work.tracks)

    def _read_list(self) -> Iterator[Asset]:
        chosen, rows, first = self.config.input, read_list(self.storage, self.config.input.uri), []
        for row in rows:
            first.append(row)
            if not row.trouble:
                break
        column = chosen.uri_column or URI_COLUMNS[0]
        if first and not first[-1].trouble:
            columns = list(first[-1].columns)
            column = find_uri_column(columns, chosen.uri_column, chosen.uri)
            self._check_columns(columns)
        named = (
            name_row(chosen.uri, row, column, chosen.may_name_local)
            for row in itertools.chain(first, rows)
        )
        # Filter before storage is asked, so that one shard alone asks about each asset, and once.
        ours = (row for row in self._deduplicate(named) if self._is_ours(row.uri))
        yield from map_ahead(self._make_listed, ours, STAT_THREADS)

    def _deduplicate(self, rows: Iterable[NamedRow]) -> Iterator[NamedRow]:
        """Pass on the first row of each asset, with a path that no other asset of the list has."""
        owners: dict[int, int] = {}  # hash of a path: hash of the URI of its asset
        for row in rows:
            path, own = make_asset_path(row.uri, None), hash(row.uri)
            if owners.get(hash(path), own) != own:
                path = disambiguate(path, row.uri)
            if hash(path) in owners:
                self.num_duplicates += self._is_ours(row.uri)
                continue
            owners[hash(path)] = own
            yield replace(row, path=path)

    def _make_listed(self, row: NamedRow) -> Asset:
        """Make the asset of a row of the list, with the queries and tracks that the row gives."""
        chosen, work = self.config.input, self.work
        entry, trouble = Entry(row.uri, 0, "", EPOCH), row.trouble
        if not trouble:
            try:
                entry = self.storage.stat(row.uri)
            except StorageError as error:
                entry = replace(entry, error=error)
            except RequestError as error:
                trouble = str(error)
        queries, tracks, text = list(work.queries), work.tracks, ""
        if chosen.queries_column is not None:
            queries = []  # an unreadable cell does not stand for the queries of the config
        try:
            if chosen.carry:
                text = write_carried({name: row.columns.get(name) for name in chosen.carry})
            # Read columns only if they are configured: pandas writes its index under the name "".
            if chosen.tracks_column is not None:
                tracks = read_tracks(row.columns.get(chosen.tracks_column), tracks)
            if chosen.queries_column is not None:
                own = read_queries(row.columns.get(chosen.queries_column))
                queries = own or list(work.queries)
            if not queries:
                raise QueryError("neither its list nor the config has a query for it")
            check_renditions(work.output, queries)
            check_residuals(work.output, queries)
        except RequestError as error:
            trouble = trouble or f"{show_uri(entry.uri)}: {error}"
            queries = queries or [Query("")]
        return make_asset(entry, row.path, work, queries, tracks, trouble, text)

    def _check_columns(self, columns: Sequence[str]) -> None:
        chosen = self.config.input
        if "json" in chosen.uri.lower().rpartition(".")[2]:
            return  # a JSON row names only the columns that it has
        wanted = [(key, getattr(chosen, key)) for key in ("queries_column", "tracks_column")]
        for key, name in [*wanted, *(("carry", name) for name in chosen.carry)]:
            if name is not None and name not in columns:
                raise RequestError(f"input.{key}={name!r}: {chosen.uri} has the columns {columns}")


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
    # The message of a storage error differs from time to time; it is not part of the ids.
    items = list_items(queries, work, version, [tracks, trouble])
    code = RequestError.code if trouble else ""
    if entry.error is not None and not trouble:
        trouble, code = str(entry.error), entry.error.code
    return Asset(
        uri=entry.uri,
        path=path,
        etag=entry.etag,
        num_bytes=entry.num_bytes,
        modified_at=entry.modified_at.isoformat(),
        items=items,
        tracks=tracks,
        trouble=trouble,
        trouble_code=code,
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
