"""Select the stems of a data set with DuckDB, and put them in order, into splits and shards.

Order and split come from hashes: the same manifest and settings give the same shards anywhere.
"""

import contextlib
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from separator.errors import RequestError
from separator.export.expressions import Expressions
from separator.export.settings import ExportConfig
from separator.machine import measure_ram
from separator.results.latest import find_latest, read_again
from separator.results.manifest import found_nothing, list_files, read_table
from separator.results.paths import Layout
from separator.results.verdicts import make_table, read_verdicts
from separator.run.run_file import FINISHED, RUNNING, STARTING
from separator.run.status import describe_state, read_last_runs, read_runs
from separator.storage import Storage
from separator.storage.temporary import temporary_folder

ROWS_PER_BATCH = 4096
BYTES_PER_SAMPLE = 3  # 24 bits, before compression; the manifest holds no file sizes
# Columns that are not part of the data set.
SHARD_KEYS = ("split", "shard")
VERDICT_KEYS = ("verdict", "note")
REVIEW = "review"  # name of a folder

# A text that is no JSON (an empty one, or half of a surrogate pair in it) would fail every row.
# Manifests of earlier versions have no `kind`: all rows were stems.
LATEST = """
    SELECT manifest.* REPLACE (
            if(json_valid(carried), carried, NULL) AS carried, coalesce(kind, 'stem') AS kind
        ), verdicts.verdict, verdicts.note
    FROM manifest LEFT JOIN verdicts USING (fingerprint)"""
# One row for each stretch in which the query is heard, with some sound around it.
CUT = """
    WITH stretches AS (
        SELECT *, unnest(presence) AS piece, generate_subscripts(presence, 1) AS number FROM found
    ), placed AS (
        SELECT *, greatest(piece.start_s - {pad_s}, 0) AS cut_start_s,
            least(piece.stop_s + {pad_s}, duration_s) AS cut_stop_s FROM stretches
    )
    SELECT * EXCLUDE (piece, number) REPLACE (
        fingerprint || '-' || lpad(number::VARCHAR, 5, '0') AS fingerprint,
        cut_stop_s - cut_start_s AS duration_s,
        (round(cut_stop_s * rate_hz) - round(cut_start_s * rate_hz))::BIGINT AS num_samples
    ) FROM placed"""
WHOLE = "SELECT *, NULL::DOUBLE AS cut_start_s, NULL::DOUBLE AS cut_stop_s FROM found"
SPLIT = """
    SELECT * EXCLUDE (split_by), md5('{seed}:' || fingerprint) AS position,
        CASE WHEN md5_number_lower('{seed}:' || coalesce(split_by, asset_uri))
            / 18446744073709551616.0 < {valid} THEN 'valid' ELSE 'train' END AS split
    FROM selected"""
FILLED = """
    SELECT *, floor((sum(num_samples * num_channels) OVER (
        PARTITION BY split ORDER BY position ROWS UNBOUNDED PRECEDING)
        - num_samples * num_channels) / {most_samples}) AS fill
    FROM splits"""
SHARDED = """
    SELECT * EXCLUDE (position, fill),
        dense_rank() OVER (PARTITION BY split ORDER BY fill) - 1 AS shard
    FROM filled ORDER BY split, position"""
# The digest also holds the groups: if they change, stems move between the splits.
SUMMARY = """
    SELECT count(*), bit_xor(md5_number(
            fingerprint || created_at || coalesce(nullif(split_by, asset_uri), ''))),
        count(*) FILTER (licence <> ''), count(split_by)
    FROM selected"""
# The residual of one stem has the stem's file name; the joint residual of all stems has another.
RESIDUALS = """
    SELECT count(*), count(*) FILTER (coalesce(residual_uri, '') = ''),
        min(residual_uri) FILTER (residual_uri <> ''
            AND parse_filename(residual_uri, false, 'forward_slash')
            <> parse_filename(stem_uri, false, 'forward_slash'))
    FROM selected"""


@dataclass(frozen=True)
class Shard:
    """Hold the rows of one shard, and its name."""

    split: str
    number: int
    rows: pa.Table

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05}"


@dataclass(frozen=True)
class Selection:
    """Hold the selected stems as a DuckDB table.

    `name` is a hash of rows and settings, so each selection has a name of its own.
    """

    connection: duckdb.DuckDBPyConnection
    name: str
    num_stems: int

    def iterate(self) -> Iterator[Shard]:
        """Yield one shard after the other; only one shard's rows are in memory."""
        reader = self.connection.table("sharded").to_arrow_reader(ROWS_PER_BATCH)
        pieces = itertools.chain.from_iterable(map(_split_batch, reader))
        for (split, number), group in itertools.groupby(pieces, key=lambda piece: piece[0]):
            yield Shard(split, number, pa.Table.from_batches([batch for _, batch in group]))


def _split_batch(batch: pa.RecordBatch) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
    """Yield ((split, shard), rows) for each shard that the batch holds rows of."""
    keys = list(zip(*(batch.column(name).to_pylist() for name in SHARD_KEYS), strict=True))
    start = 0
    for key, group in itertools.groupby(keys):
        num_rows = len(list(group))
        yield key, batch.slice(start, num_rows).drop_columns(list(SHARD_KEYS))
        start += num_rows


@contextlib.contextmanager
def select(storage: Storage, config: ExportConfig) -> Iterator[Selection]:
    """Select stems by the config; the selection lives as long as the context."""
    layout = Layout(config.input.uri, "")
    check_manifest(storage, layout)
    if not config.input.unfinished:
        check_runs(storage, layout)
    with temporary_folder() as folder:
        copy_current(storage, layout, folder)
        (folder / REVIEW).mkdir()
        verdicts = make_table(read_verdicts(storage, layout))
        pq.write_table(verdicts, folder / REVIEW / "verdicts.parquet")
        memory_mb = config.input.expression_memory_mb
        memory_bytes = measure_ram() / 2 if memory_mb is None else memory_mb * 1e6
        with contextlib.closing(open_manifest(folder, memory_bytes)) as connection:
            names = connection.table("latest").columns
            limits = Expressions(connection, config.input.expression_time_s, memory_bytes, names)
            yield make_selection(limits, config)


@read_again
def copy_current(storage: Storage, layout: Layout, folder: Path) -> None:
    """Copy the current rows of the manifest into a folder."""
    files = list_files(storage, layout)
    masks = find_latest(storage, layout)
    for uri in sorted(set(files) - set(masks)):
        storage.stat(uri)  # raises, to read again, if a run has merged the file into another one
        raise RequestError(
            f"{uri}: cannot be read, so stems may be missing; move the file away and run the job"
            " once more, which takes its rows from the records beside the stems"
        )
    for former in folder.iterdir():  # left by an earlier try
        former.unlink()
    for number, (uri, mask) in enumerate(masks.items()):
        pq.write_table(read_table(storage, uri, mask), folder / f"{number:05}.parquet")


def check_manifest(storage: Storage, layout: Layout) -> None:
    """Refuse an output without a manifest."""
    if list_files(storage, layout):
        return
    if found_nothing(storage, [layout]):
        raise RequestError(
            f"input.uri={layout.root_uri!r}: the runs so far found no assets, so there are no "
            "stems; check input.uri and input.include of the run"
        )
    raise RequestError(f"input.uri={layout.root_uri!r}: no manifest there; run the job first")


def check_runs(storage: Storage, layout: Layout) -> None:
    """Refuse an output whose last run, or the last run of a shard beside it, is not finished.

    A run writes stems before their rows, so a replaced stem would be exported with its old row.
    """
    runs = read_runs(storage, layout)
    alive = [run for run in runs if describe_state(run) in (STARTING, RUNNING)]
    for run in [*alive, *read_last_runs(storage, layout)]:
        if run["state"] != FINISHED:
            raise RequestError(
                f"input.uri={layout.root_uri!r}: its run {run['run_id']} is {describe_state(run)};"
                " let the job finish first, or take what is there with input.unfinished=true"
            )


def open_manifest(folder: Path, memory_bytes: float) -> duckdb.DuckDBPyConnection:
    """Open the files of a folder as the view `latest`; no expression can read anything else."""
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{int(memory_bytes)}B'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET temp_directory = '{folder}/spill'")
    connection.execute(f"SET allowed_directories = ['{folder}']")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    files = sorted(map(str, folder.glob("*.parquet")))
    connection.read_parquet(files).create_view("manifest")
    connection.read_parquet(str(folder / REVIEW / "*.parquet")).create_view("verdicts")
    connection.sql(LATEST).create_view("latest")
    return connection


def make_selection(expressions: Expressions, config: ExportConfig) -> Selection:
    where, by, licence = config.input.where, config.split.by, config.output.licence
    connection = expressions.connection
    made = f"status = 'ok' AND kind = '{config.input.kind}' AND stem_uri <> ''"
    found = connection.table("latest").filter(made)
    # Tables, not views: each expression is evaluated once, even one that is random.
    expressions.evaluate("input.where", where, lambda chosen: found.filter(chosen).create("found"))
    cut = CUT.format(pad_s=float(config.input.pad_s)) if config.is_cut else WHOLE
    connection.sql(cut).create("samples")
    carried = "''" if licence is None else f"coalesce(carried ->> {quote_pointer(licence)}, '')"
    given = (
        duckdb.StarExpression(exclude=VERDICT_KEYS),
        duckdb.SQLExpression(carried).alias("licence"),
    )

    def create(group: duckdb.Expression) -> None:
        columns = *given, group.cast("VARCHAR").alias("split_by")
        connection.table("samples").project(*columns).create("selected")

    expressions.evaluate("split.by", by, create)
    check_groups(connection, by)
    ((num_stems, digest, licenced, grouped),) = connection.sql(SUMMARY).fetchall()
    if not num_stems:
        heard = " in which its query is heard" if config.is_cut else ""
        raise RequestError(
            f"input.where={where!r}: selects no {config.input.kind} that is ok{heard}"
        )
    if not grouped:
        raise RequestError(f"split.by={by!r}: is null for all selected stems")
    if config.output.residual:
        check_residuals(connection)
    if licence is not None and not licenced:
        raise RequestError(
            f"output.licence={licence!r}: no stem carries it; the job copies it from its list with"
            f" input.carry=[{licence}]"
        )
    most_samples = config.output.shard_mb * 1e6 / BYTES_PER_SAMPLE / (1 + config.output.residual)
    split = SPLIT.format(seed=int(config.split.seed), valid=float(config.split.valid))
    connection.sql(split).create_view("splits")
    connection.sql(FILLED.format(most_samples=most_samples)).create_view("filled")
    connection.sql(SHARDED).create_view("sharded")
    name = hashlib.sha256(f"{config.describe()} {num_stems} {digest}".encode()).hexdigest()[:16]
    return Selection(connection, name, num_stems)


def quote_pointer(key: str) -> str:
    """Write a key of JSON as a JSON pointer in SQL: a path of DuckDB's would take `*` for all."""
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    return "'" + pointer.replace("'", "''") + "'"


def check_residuals(connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse stems that have no residual, or share one joint residual for all stems."""
    ((num_stems, num_without, joint),) = connection.sql(RESIDUALS).fetchall()
    if joint:
        raise RequestError(
            f"output.residual=true: {joint} is the track without all its stems; the track without"
            " each stem needs a job with output.residual=per_query"
        )
    if num_without:
        raise RequestError(
            f"output.residual=true: {num_without:,} of {num_stems:,} have none; run the job with "
            "output.residual=per_query, or select with input.where=\"residual_uri <> ''\""
        )


def check_groups(connection: duckdb.DuckDBPyConnection, by: str) -> None:
    """Refuse a `split.by` that does not give each stem one value (`unnest`, `COLUMNS`)."""
    names = connection.table("selected").columns
    counts = [connection.table(name).count("*").fetchall() for name in ("samples", "selected")]
    if counts[0] != counts[1] or names[-2:] != ["licence", "split_by"]:
        raise RequestError(
            f"split.by={by!r}: must give one value for each stem; without unnest or COLUMNS it does"
        )
