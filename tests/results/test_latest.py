"""Current rows: the rule, and files that are no manifest."""

import io
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from separator.results.compact import compact
from separator.results.latest import Keys, find_latest, read_latest, select_latest
from separator.results.manifest import ManifestWriter, list_files, make_table
from tests.helpers.records import make_record


def select_by_hand(rows: list[tuple[int, ...]]) -> list[bool]:
    """Apply the rule as it is written, row by row. Etag 0: the asset could not be looked at."""
    newest_etag, last_commit, last_of_all, first_row = {}, {}, {}, {}
    for row in sorted(rows, key=lambda row: (row[1] != 0, row[4])):
        newest_etag[row[0]] = row[1]
        last_commit[row[0], row[2]] = row[4]
    for asset, _, query, _, when in rows:
        last_of_all[asset, query] = max(when, last_of_all.get((asset, query), when))
    for number, row in enumerate(rows):
        first_row.setdefault(row, number)
    return [
        number == first_row[row]
        and (
            (row[1] == newest_etag[row[0]] and row[4] == last_commit[row[0], row[2]])
            or (row[1] == 0 and row[4] == last_of_all[row[0], row[2]])
        )
        for number, row in enumerate(rows)
    ]


def test_select_latest_follows_the_rule_on_random_rows():
    rng = np.random.default_rng(0)
    for _ in range(300):
        # An asset has one version at a time, and a commit one row of each track.
        drawn = rng.integers(0, [2, 3, 2, 8], (rng.integers(1, 30), 4)).tolist()
        is_seen = rng.integers(0, 4, 8) > 0
        rows = [
            (asset, int(is_seen[when]) * (1 + when // 2), query, track, when)
            for asset, query, track, when in drawn
        ]
        asset, etag, query, track, when = np.array(rows).T
        item = 10 * asset + query
        keys = Keys(asset, etag, item, 10 * item + track, when, item, 0 * item, 0 * item - 1)
        assert select_latest(keys).tolist() == select_by_hand(rows)


def test_a_failed_look_replaces_no_row_and_stands_until_the_asset_comes_back(output):
    def list_rows() -> list[tuple]:
        tables = [batch.to_pandas() for batch in read_latest(*output, ["asset_etag", "error_code"])]
        return sorted(pd.concat(tables).itertuples(index=False, name=None))

    def write(run_id: str, record: dict) -> None:
        writer = ManifestWriter(*output, run_id, 10)
        writer.add([record])
        writer.flush()
        compact(*output, run_id)

    write("a", make_record())
    write("b", make_record(etag="", hour=1, code="object_missing"))
    assert list_rows() == [("", "object_missing"), ("e", "")]
    write("c", make_record(hour=2))
    assert list_rows() == [("e", "")]


def pack(**columns: list) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


WHOLE = io.BytesIO()
pq.write_table(make_table([make_record("y")] * 1000), WHOLE, compression="none")
ODD_IDS = io.BytesIO()
pq.write_table(make_table([make_record("y", request="run 7")]), ODD_IDS)
FOREIGN = {
    "other ids": ODD_IDS.getvalue(),
    "empty": b"",
    "text": b"not a table",
    "cut": WHOLE.getvalue()[:2_000],
    "damaged pages": WHOLE.getvalue()[:100] + bytes(400) + WHOLE.getvalue()[500:],
    "other columns": pack(a=[1]),
    "other types": pack(**{name: [1] for name in make_record()}),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_manifest_is_ignored_and_named(local_output, kind, caplog):
    storage, layout = local_output
    writer = ManifestWriter(storage, layout, "r", 10)
    writer.add([make_record("x")])
    writer.flush()
    uri = f"{layout.manifest()}/foreign.parquet"
    storage.write(uri, FOREIGN[kind])
    with caplog.at_level(logging.WARNING):
        assert [len(mask) for mask in find_latest(storage, layout).values()] == [1]
    assert len(caplog.messages) == 1 and uri in caplog.text
    compact(storage, layout, "r")
    assert uri in list_files(storage, layout), "it is not ours"


def test_rows_with_gaps_in_their_keys_are_no_manifest(local_output, caplog):
    storage, layout = local_output
    table = make_table([make_record()])
    at = table.column_names.index("request")
    table = table.set_column(at, table.schema.field(at), pa.array([None], "string"))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    storage.write(f"{layout.manifest()}/x.parquet", sink.getvalue())
    assert find_latest(storage, layout) == {} and "gaps" in caplog.text


def test_reading_the_current_rows_does_not_import_pandas(local_output):
    storage, layout = local_output
    writer = ManifestWriter(storage, layout, "r", 10)
    writer.add([make_record()])
    writer.flush()
    code = (
        "import sys\n"
        "from separator.results.found import find_meant\n"
        "from separator.results.latest import read_latest\n"
        "from separator.results.paths import Layout\n"
        "from separator.storage import Storage\n"
        f"layout = Layout({layout.root_uri!r}, '')\n"
        "batches = list(read_latest(Storage(), layout, ['query_name', 'query_text']))\n"
        "assert [find_meant(batch, 'a') for batch in batches] == [[True]]\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
