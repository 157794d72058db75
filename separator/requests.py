"""What is asked of which asset: rows from a folder or a list, without what is done already.

Generators and pure functions; `pipeline.py` runs them where the data is.
"""

import contextlib
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from separator.audio.edit import RENDITION, STEM
from separator.config import (
    InputSettings,
    JobConfig,
    OutputSettings,
    RenditionSettings,
    check_renditions,
)
from separator.errors import QueryError, RequestError, StorageError
from separator.layout import make_asset_path
from separator.manifest import hash_requests, is_known
from separator.media.choose import check_tracks
from separator.queries.query import Query, parse_queries
from separator.records import hash_request
from separator.rows import AssetRow
from separator.storage import Entry, Storage
from separator.storage.rows import find_uri_column, is_list, read_rows, resolve_uri

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of `model` and `output`, what changes a stem. Devices do not: results agree to rounding.
MODEL_KEYS = ("channels", "context", "precision")
OUTPUT_KEYS = ("format", "bit_depth", "bitrate_bps", "clip", "dither", "residual")
REMUX_KEYS = ("remux", "remux_codec", "remux_bitrate_bps")
LOOKERS = 16  # assets of a list that are looked at side by side
MOST_TEXTS = 50_000  # 2 KB each, on every node

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Asked:
    """What is asked of every asset, and with what."""

    queries: tuple[Query, ...]
    output: OutputSettings
    remux: dict[str, Any]  # of the output, what changes a film
    tracks: Any
    settings: dict[str, Any]  # with the checkpoint: what a stem depends on beside its asset
    warnings: dict[str, str]  # by text of a query


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


def make_asked(config: JobConfig, checkpoint_sha256: str, warnings: dict[str, str]) -> Asked:
    model, output = asdict(config.model), asdict(config.output)
    settings = {key: model[key] for key in MODEL_KEYS} | {key: output[key] for key in OUTPUT_KEYS}
    settings["checkpoint"] = checkpoint_sha256
    remux = {key: output[key] for key in REMUX_KEYS}
    return Asked(
        tuple(config.parse_queries()), config.output, remux, config.tracks, settings, warnings
    )


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
    count, seen = 0, set()
    for row in _list_rows(storage, config, asked):
        if int(hash_request(row["asset_uri"]), 16) % num_shards != shard:
            continue
        name = hash(row["asset_uri"])
        if name in seen:
            if twice is not None:
                twice.append(row["asset_uri"])
            continue
        if is_list(config.input.uri):  # a folder names nothing twice
            seen.add(name)
        yield row
        count += 1
        if count == config.run.limit:
            return


def _list_rows(storage: Storage, config: JobConfig, asked: Asked) -> Iterator[AssetRow]:
    chosen, uri = config.input, config.input.uri
    if not is_list(uri):
        for entry in storage.list(uri, chosen.include, chosen.exclude):
            yield make_row(entry, uri, asked)
        return
    rows = read_rows(storage, uri)
    first = next(rows, None)
    if first is None:
        return
    column = find_uri_column(list(first), chosen.uri_column, uri)
    _check_columns(list(first), chosen)

    def look(row: dict[str, Any]) -> AssetRow:
        asset_uri = resolve_uri(uri, str(row[column]))
        try:
            entry = storage.stat(asset_uri)
        except (StorageError, RequestError):
            # It gets its record like any other: `extract` meets the same trouble.
            entry = Entry(asset_uri, 0, "", EPOCH)
        return make_row(entry, None, asked, row, chosen)

    yield from map_ahead(look, itertools.chain([first], rows), LOOKERS)


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


def list_items(queries: Sequence[Query], asked: Asked, about: list[Any]) -> list[dict[str, Any]]:
    """Everything that gets a record: stems, then mixes. `needs`: what it cannot be made without;
    `about`: what of its asset it depends on."""
    pairs = [{"name": query.name, "text": query.text} for query in queries]
    version, *others = about
    # The one residual of all stems is another for other stems, and written with any of them.
    together = pairs if asked.settings["residual"] == "joint" else []
    all_names = [pair["name"] for pair in together]
    items = []
    for pair in pairs:
        depends = [version, pair, *others, asked.settings, *([together] if together else [])]
        items.append(
            {"kind": STEM}
            | pair
            | {"warning": asked.warnings.get(pair["text"], "")}
            | {"needs": all_names}
            | {"request": hash_request(depends)}
        )
    requests = {item["name"]: item["request"] for item in items}
    for rendition in asked.output.renditions:
        names = sorted(rendition.gains_db)
        needs = all_names or names
        recipe = asdict(rendition) | asked.remux
        sources = [requests.get(name) for name in names]
        request = hash_request([version, recipe, sources, *others, asked.settings])
        item = {"kind": RENDITION, "name": rendition.name, "text": describe_mix(rendition)}
        items.append(item | {"warning": "", "needs": needs, "request": request})
    return items


def describe_mix(rendition: RenditionSettings) -> str:
    gains = [f"{name} {db:+g} dB" for name, db in sorted(rendition.gains_db.items())]
    return ", ".join([*gains, f"the rest {rendition.rest_db:+g} dB"])


def read_queries(value: Any) -> list[Query]:
    """Of a list's column: a text, a list of texts or {name, text}, or such a list as JSON."""
    value = _read_json(value)
    if value is None or value == "" or value == []:
        return []
    return parse_queries([value] if isinstance(value, str | dict) else value)


def read_tracks(value: Any, default: Any) -> Any:
    """Of a list's column: what `tracks` may be in a config, as it is or as JSON; or one index."""
    value = _read_json(value)
    if value is None or value == "":
        return default
    if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
        value = [int(value)]
    check_tracks(value)
    return value


def _read_json(value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith(("[", "{")):
        return value
    try:
        return json.loads(text)
    except ValueError as error:
        raise QueryError(f"{text[:80]!r} is no JSON: {error}") from None


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
