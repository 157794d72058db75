"""Which stems go into a data set, in which order, split and shard: DuckDB over the manifest.

The same manifest and settings give the same shards, on any machine: order and split come from
hashes, not from chance.
"""

import contextlib
import hashlib
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from separator.errors import RequestError
from separator.export.settings import ExportConfig
from separator.results.manifest import list_files
from separator.results.paths import Layout
from separator.results.schema import make_schema
from separator.run.run_file import FINISHED, RUNNING, STARTING
from separator.run.status import describe_state, read_runs
from separator.storage import Storage

ROWS_PER_BATCH = 4096
BYTES_PER_SAMPLE = 3  # of 24 bits, before compression: the manifest holds no sizes
OWN = ("split", "shard")  # columns of ours, not of the data set

# What `compact` keeps: a run that has not ended, or never did, leaves more rows than hold. An
# empty text is no JSON, and an earlier version knew nothing but stems.
LATEST = """
    SELECT * REPLACE (nullif(carried, '') AS carried, coalesce(kind, 'stem') AS kind)
    FROM manifest QUALIFY
        row_number() OVER (
            PARTITION BY asset_uri, track_index, query_name ORDER BY created_at DESC) = 1
        AND created_at = max(created_at) OVER (PARTITION BY asset_uri, query_name)
        AND asset_etag = arg_max(asset_etag, created_at) OVER (PARTITION BY asset_uri)"""
DEALT = """
    SELECT * EXCLUDE (dealt_by), md5('{seed}:' || fingerprint) AS place,
        CASE WHEN md5_number_lower('{seed}:' || coalesce(dealt_by, asset_uri))
            / 18446744073709551616.0 < {valid} THEN 'valid' ELSE 'train' END AS split
    FROM chosen"""
FILLED = """
    SELECT *, floor((sum(num_samples * num_channels) OVER (
        PARTITION BY split ORDER BY place ROWS UNBOUNDED PRECEDING)
        - num_samples * num_channels) / {most_samples}) AS fill
    FROM dealt"""
SHARDED = """
    SELECT * EXCLUDE (place, fill),
        dense_rank() OVER (PARTITION BY split ORDER BY fill) - 1 AS shard
    FROM filled ORDER BY split, place"""
SUMMARY = """
    SELECT count(*), bit_xor(md5_number(fingerprint || created_at)),
        count(*) FILTER (coalesce(residual_uri, '') = ''),
        count(*) FILTER (licence <> ''), count(dealt_by)
    FROM chosen"""


@dataclass(frozen=True)
class Shard:
    """The rows of one file, and its name."""

    split: str
    number: int
    rows: pa.Table

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05}"


@dataclass(frozen=True)
class Selection:
    """What is chosen. `name` tells it from any other."""

    connection: duckdb.DuckDBPyConnection
    name: str
    num_stems: int

    def iterate(self) -> Iterator[Shard]:
        """Shard by shard; the rows of one are in memory."""
        reader = self.connection.table("sharded").to_arrow_reader(ROWS_PER_BATCH)
        pieces = itertools.chain.from_iterable(map(_cut, reader))
        for (split, number), group in itertools.groupby(pieces, key=lambda piece: piece[0]):
            yield Shard(split, number, pa.Table.from_batches([batch for _, batch in group]))


def _cut(batch: pa.RecordBatch) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
    keys = list(zip(*(batch.column(name).to_pylist() for name in OWN), strict=True))
    start = 0
    for key, group in itertools.groupby(keys):
        num_rows = len(list(group))
        yield key, batch.slice(start, num_rows).drop_columns(list(OWN))
        start += num_rows


@contextlib.contextmanager
def select(storage: Storage, config: ExportConfig) -> Iterator[Selection]:
    layout = Layout(config.input.uri, "")
    uris = list_files(storage, layout)
    if not uris:
        raise RequestError(f"input.uri={config.input.uri!r}: no manifest there; run the job first")
    if not config.input.unfinished:
        check_runs(storage, layout)
    with tempfile.TemporaryDirectory(prefix="separator-") as name:
        for number, uri in enumerate(uris):
            storage.fetch(uri, Path(name) / f"{number:05}.parquet")
        with contextlib.closing(open_manifest(Path(name))) as connection:
            yield choose(connection, config)


def check_runs(storage: Storage, layout: Layout) -> None:
    """A run writes stems before their rows: what it has replaced would go out under an old row."""
    runs = read_runs(storage, layout)
    alive = [run for run in runs if describe_state(run) in (STARTING, RUNNING)]
    for run in [*alive, *runs[:1]]:
        if run["state"] != FINISHED:
            raise RequestError(
                f"input.uri={layout.root_uri!r}: its run {run['run_id']} is {describe_state(run)};"
                " let the job finish first, or take what is there with input.unfinished=true"
            )


def open_manifest(folder: Path) -> duckdb.DuckDBPyConnection:
    """`latest`, and nothing else of the machine within reach of an expression."""
    # All columns of today, whatever version wrote the others.
    pq.write_table(make_schema().empty_table(), folder / "columns.parquet")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET temp_directory = '{folder}/spill'")
    connection.execute(f"SET allowed_directories = ['{folder}']")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    files = sorted(map(str, folder.glob("*.parquet")))
    connection.read_parquet(files, union_by_name=True).create_view("manifest")
    connection.sql(LATEST).create_view("latest")
    return connection


def choose(connection: duckdb.DuckDBPyConnection, config: ExportConfig) -> Selection:
    where, by, licence = config.input.where, config.split.by, config.output.licence
    found = connection.table("latest").filter(f"status = 'ok' AND kind = '{config.input.kind}'")
    # As tables: what an expression has said once, of chance too, holds for all that follows.
    _explain("input.where", where, lambda: found.filter(where).create("found"))
    path = json.dumps(f"{licence}", ensure_ascii=False).replace("'", "''")
    carried = "''" if licence is None else f"coalesce(carried ->> '$.{path}', '')"
    columns = f"*, {carried} AS licence, ({by})::VARCHAR AS dealt_by"
    _explain("split.by", by, lambda: connection.table("found").project(columns).create("chosen"))
    ((num_stems, digest, no_residual, licenced, grouped),) = connection.sql(SUMMARY).fetchall()
    if not num_stems:
        raise RequestError(f"input.where={where!r}: chooses no {config.input.kind} that is there")
    if not grouped:
        raise RequestError(f"split.by={by!r}: is null for all that is chosen")
    if config.output.residual and no_residual:
        raise RequestError(
            f"output.residual=true: {no_residual:,} of {num_stems:,} have none; run the job with "
            "output.residual=per_query, or choose with input.where=\"residual_uri <> ''\""
        )
    if licence is not None and not licenced:
        raise RequestError(
            f"output.licence={licence!r}: no stem carries it; the job takes it along from its list"
            f" with input.carry=[{licence}]"
        )
    most_samples = config.output.shard_mb * 1e6 / BYTES_PER_SAMPLE / (1 + config.output.residual)
    dealt = DEALT.format(seed=int(config.split.seed), valid=float(config.split.valid))
    connection.sql(dealt).create_view("dealt")
    connection.sql(FILLED.format(most_samples=most_samples)).create_view("filled")
    connection.sql(SHARDED).create_view("sharded")
    name = hashlib.sha256(f"{config.describe()} {num_stems} {digest}".encode()).hexdigest()[:16]
    return Selection(connection, name, num_stems)


def _explain(key: str, text: str, action: Callable[[], Any]) -> Any:
    """A mistake in an expression, in the words of the one who wrote it."""
    try:
        return action()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise RequestError(f"{key}={text!r}: {reason}") from None
