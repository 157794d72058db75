"""The manifest as people open it: pandas, DuckDB, Polars, Hugging Face datasets read the same."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import soundfile

from separator.results.schema import COLUMNS
from tests.helpers.job import read_manifest

KEYS = ["asset_uri", "track_index", "query_name"]


@pytest.fixture(scope="module")
def manifest(finished) -> pd.DataFrame:
    return read_manifest(finished / "out")


def test_pandas(manifest):
    assert list(manifest.columns) == list(COLUMNS)
    assert str(manifest.created_at.dtype) == "datetime64[us, UTC]"
    assert manifest.groupby("status").size().to_dict() == {"failed": 4, "ok": 6}
    # A row that failed has no figures, and no stem.
    failed = manifest[manifest.status == "failed"]
    assert failed.rms_db.isna().all() and (failed.stem_uri == "").all()


def test_duckdb(finished, manifest):
    files = str(finished / "out/manifest/*.parquet")
    rows = duckdb.sql(
        f"select {', '.join(KEYS)}, rms_db from '{files}' where status = 'ok' order by all"
    ).df()
    wanted = manifest[manifest.status == "ok"].sort_values(KEYS)
    assert rows[KEYS].values.tolist() == wanted[KEYS].values.tolist()
    np.testing.assert_array_equal(rows.rms_db, wanted.rms_db)
    loud = duckdb.sql(f"select query_name from '{files}' where loudness_lufs > -30").df()
    assert len(loud) == (manifest.loudness_lufs > -30).sum() > 0


def test_polars(finished, manifest):
    rows = pl.scan_parquet(finished / "out/manifest/*.parquet").sort(KEYS).collect()
    assert rows.columns == list(COLUMNS)
    assert rows["created_at"].dtype == pl.Datetime("us", "UTC")
    assert rows.filter(pl.col("status") == "failed")["error_code"].to_list() == list(
        manifest[manifest.status == "failed"].error_code
    )


def test_hugging_face_datasets(finished, manifest, tmp_path, monkeypatch):
    """Stems are heard through the column that names them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import Audio, load_dataset

    files = str(finished / "out/manifest/*.parquet")
    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    rows = rows.filter(lambda row: row["status"] == "ok")
    heard = rows.cast_column("stem_uri", Audio())
    assert len(heard) == (manifest.status == "ok").sum()
    for row, plain in zip(heard, rows, strict=True):
        samples = row["stem_uri"].get_all_samples()
        stem, rate_hz = soundfile.read(plain["stem_uri"], dtype="float32", always_2d=True)
        assert samples.sample_rate == rate_hz == row["rate_hz"]
        np.testing.assert_allclose(samples.data.numpy(), stem.T, atol=2**-22)
