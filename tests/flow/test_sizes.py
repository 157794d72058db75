"""Whole runs over lists and queries of sizes that people have, but tests do not."""

import csv

import pandas as pd
import pytest

from tests.helpers.job import check_whole, run_job, write_config, write_sound

NUM_QUERIES, NUM_ROWS = 300, 50_000


@pytest.mark.slow
def test_run_with_three_hundred_queries_writes_a_stem_of_each(tmp_path):
    write_sound(tmp_path / "in/x.wav", ("siren", "rain"), 3, 1)
    queries = ", ".join(f"{{name: q{i:03}, text: siren {i}}}" for i in range(NUM_QUERIES))
    config = write_config(
        tmp_path / "c.yaml", str(tmp_path / "in"), str(tmp_path / "out"), f"[{queries}]"
    )
    run_job(config)
    rows = check_whole(tmp_path / "out")
    assert len(rows) == NUM_QUERIES and set(rows.status) == {"ok"}
    assert "nothing to do" in run_job(config)


@pytest.mark.slow
def test_run_over_a_list_of_fifty_thousand_rows_records_each(tmp_path):
    """All but three rows name files that are not there; the second run looks at these again."""
    for name in ("a", "b", "c"):
        write_sound(tmp_path / f"in/{name}.wav", ("siren", "rain"), 2, 1)
    with (tmp_path / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri"])
        writer.writerows([f"{tmp_path}/in/gone-{i}.wav"] for i in range(NUM_ROWS - 3))
        writer.writerows([f"{tmp_path}/in/{name}.wav"] for name in "abc")
    config = write_config(
        tmp_path / "c.yaml", str(tmp_path / "list.csv"), str(tmp_path / "out"), "[siren]"
    )
    run_job(config, code=3)
    rows = pd.read_parquet(tmp_path / "out/manifest")
    assert len(rows) == NUM_ROWS and rows.asset_uri.nunique() == NUM_ROWS
    assert rows[rows.status == "ok"].asset_uri.nunique() == 3
    assert set(rows[rows.status == "failed"].error_code) == {"object_missing"}
