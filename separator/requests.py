"""What is asked of which asset: rows from a folder or a list, without what is done already.

Generators and pure functions; `pipeline.py` runs them where the data is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from separator.config import JobConfig
from separator.errors import RequestError, StorageError
from separator.layout import make_asset_path
from separator.manifest import hash_requests
from separator.records import hash_request
from separator.rows import AssetRow
from separator.storage import Entry, Storage
from separator.storage.rows import find_uri_column, is_list, read_rows, resolve_uri

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of `model` and `output`, what changes a stem. Devices do not: results agree to rounding.
MODEL_KEYS = ("channels", "context", "precision")
OUTPUT_KEYS = ("format", "bit_depth", "bitrate_bps", "clip", "dither", "residual")


@dataclass(frozen=True)
class Asked:
    """What is asked of every asset, and with what."""

    queries: tuple[dict[str, str], ...]  # name, text, and a warning where the model knows no word
    tracks: Any
    settings: dict[str, Any]  # with the checkpoint: what a stem depends on beside its asset


def make_asked(config: JobConfig, checkpoint_sha256: str, warnings: dict[str, str]) -> Asked:
    """`warnings`: by text of a query."""
    queries = tuple(
        {"name": q.name, "text": q.text, "warning": warnings.get(q.text, "")}
        for q in config.parse_queries()
    )
    model, output = asdict(config.model), asdict(config.output)
    settings = {key: model[key] for key in MODEL_KEYS} | {key: output[key] for key in OUTPUT_KEYS}
    return Asked(queries, config.tracks, settings | {"checkpoint": checkpoint_sha256})


def list_assets(storage: Storage, config: JobConfig, asked: Asked) -> Iterator[AssetRow]:
    """Every asset of the input in turn, of this shard and within the limit."""
    shard, num_shards = config.parse_shard()
    count = 0
    for entry, root_uri in _list_entries(storage, config):
        row = make_row(entry, root_uri, asked)
        if int(hash_request(row["asset_uri"]), 16) % num_shards != shard:
            continue
        yield row
        count += 1
        if count == config.run.limit:
            return


def _list_entries(storage: Storage, config: JobConfig) -> Iterator[tuple[Entry, str | None]]:
    uri = config.input.uri
    if not is_list(uri):
        for entry in storage.list(uri, config.input.include, config.input.exclude):
            yield entry, uri
        return
    column = None
    for row in read_rows(storage, uri):
        column = column or find_uri_column(list(row), config.input.uri_column, uri)
        asset_uri = resolve_uri(uri, str(row[column]))
        try:
            yield storage.stat(asset_uri), None
        except (StorageError, RequestError):
            # It gets its record like any other: `extract` meets the same trouble.
            yield Entry(asset_uri, 0, "", EPOCH), None


def make_row(entry: Entry, root_uri: str | None, asked: Asked) -> AssetRow:
    version = [entry.uri, entry.etag, entry.num_bytes]
    queries = [
        query | {"request": hash_request([version, query, asked.tracks, asked.settings])}
        for query in asked.queries
    ]
    return AssetRow(
        asset_uri=entry.uri,
        asset_path=make_asset_path(entry.uri, root_uri),
        asset_etag=entry.etag,
        asset_bytes=entry.num_bytes,
        modified_at=entry.modified_at.isoformat(),
        queries=json.dumps(queries),
        tracks=json.dumps(asked.tracks),
    )


def leave_out_done(rows: Sequence[AssetRow], done: np.ndarray) -> list[AssetRow]:
    """The rows with the queries that are not in `done` (sorted hashes); none for what is done."""
    pending = []
    for row in rows:
        queries = json.loads(row["queries"])
        hashes = hash_requests([query["request"] for query in queries])
        is_done = np.isin(hashes, done)
        left = [query for query, known in zip(queries, is_done, strict=True) if not known]
        if left:
            pending.append(AssetRow(**(row | {"queries": json.dumps(left)})))  # pyright: ignore
    return pending
