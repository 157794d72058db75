"""The manifest as people open it: pandas, DuckDB, Polars and Hugging Face datasets agree."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import soundfile

from separator.results.schema import COLUMNS
from separator.storage import Storage
from tests.helpers.export_library import write_output

KEYS = ["asset_uri", "track_index", "query_name"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> str:
    """All Parquet files of the manifest, as a pattern; their stems are there."""
    folder = tmp_path_factory.mktemp("readers") / "out"
    write_output(Storage(), str(folder), num_assets=20)
    return str(folder / "manifest/*.parquet")


@pytest.fixture(scope="module")
def manifest(files) -> pd.DataFrame:
    rows = pd.read_parquet(Path(files).parent)
    return rows.sort_values(KEYS).reset_index(drop=True)


def test_pandas_reads_all_columns_and_null_figures_of_failed_rows(manifest):
    assert list(manifest.columns) == list(COLUMNS)
    assert str(manifest.created_at.dtype) == "datetime64[us, UTC]"
    assert manifest.groupby("status").size().to_dict() == {"failed": 4, "ok": 56}
    failed = manifest[manifest.status == "failed"]
    assert failed.rms_db.isna().all() and (failed.stem_uri == "").all()


def test_duckdb_reads_the_same_rows_as_pandas(files, manifest):
    rows = duckdb.sql(
        f"select {', '.join(KEYS)}, rms_db from '{files}' where status = 'ok' order by all"
    ).df()
    wanted = manifest[manifest.status == "ok"]
    assert rows[KEYS].values.tolist() == wanted[KEYS].values.tolist()
    np.testing.assert_array_equal(rows.rms_db, wanted.rms_db)
    loud = duckdb.sql(f"select query_name from '{files}' where rms_db > -30").df()
    assert len(loud) == (manifest.rms_db > -30).sum() > 0


def test_a_manifest_of_two_releases_is_read_with_all_columns(files, manifest, tmp_path):
    """As docs/job.md says: the older file, which comes first, lacks a column."""
    table = pq.read_table(Path(files).parent)
    pq.write_table(table.drop_columns(["rms_db"]), tmp_path / "1.parquet")
    pq.write_table(table, tmp_path / "2.parquet")
    pattern = f"read_parquet('{tmp_path}/*.parquet', union_by_name=true)"
    ((num_rows, num_levels),) = duckdb.sql(
        f"select count(*), count(rms_db) from {pattern}"
    ).fetchall()
    rows = pd.read_parquet(tmp_path, schema=pq.read_schema(tmp_path / "2.parquet"))
    assert num_rows == len(rows) == 2 * len(manifest)
    assert num_levels == rows.rms_db.count() == manifest.rms_db.count()


def test_polars_reads_the_same_rows_as_pandas(files, manifest):
    rows = pl.scan_parquet(files).sort(KEYS).collect()
    assert rows.columns == list(COLUMNS)
    assert rows["created_at"].dtype == pl.Datetime("us", "UTC")
    assert rows["error_code"].to_list() == list(manifest.error_code)


def test_hugging_face_datasets_decodes_the_column_of_stem_uris(
    files, manifest, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import Audio, load_dataset

    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    rows = rows.filter(lambda row: row["status"] == "ok")
    heard = rows.cast_column("stem_uri", Audio())
    assert len(heard) == (manifest.status == "ok").sum()
    for row, plain in zip(heard, rows, strict=True):
        samples = row["stem_uri"].get_all_samples()
        stem, rate_hz = soundfile.read(plain["stem_uri"], dtype="float32", always_2d=True)
        assert samples.sample_rate == rate_hz == row["rate_hz"]
        np.testing.assert_allclose(samples.data.numpy(), stem.T, atol=2**-22)
