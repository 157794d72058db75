"""The pass over all rows, compared with pandas."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from separator.report.scan import MAX_EXAMPLES, NUM_BINS, SCANNED, SEVERAL, scan_rows


def make_frame(num_rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    status = rng.choice(["ok", "absent", "failed"], num_rows, p=[0.6, 0.3, 0.1])
    ok = status == "ok"
    numbers = {
        name: np.where(ok, rng.random(num_rows), np.nan)
        for name in ("presence_score", "presence_share", "energy_share", "similarity")
    }
    asset = rng.integers(0, num_rows // 8, num_rows)
    return pd.DataFrame(
        {
            "asset_uri": [f"/in/{each}.wav" for each in asset],
            "track_index": np.where(status == "failed", -1, 0).astype("int32"),
            "kind": "stem",
            "query_name": rng.choice(["siren", "rain", "dog"], num_rows),
            "query_text": "a text",
            "status": status,
            "error_code": np.where(status == "failed", "media_truncated", ""),
            "error_stage": "extract",
            "error_detail": "why",
            "warning": np.where(rng.random(num_rows) < 0.1, "doubtful", ""),
            "num_clipped": rng.integers(0, 2, num_rows),
            "duration_s": np.where(status == "failed", np.nan, asset + 1.0),
            "loudness_lufs": np.where(ok, -20.0, np.nan),
            **numbers,
        }
    )


def scan(frame: pd.DataFrame, rows: int = 700):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return scan_rows(table.to_batches(max_chunksize=rows))


def test_scan_rows_counts_as_pandas_does():
    frame = make_frame(5_000)
    found, arrays = scan(frame)
    assert found.num_assets == frame.asset_uri.nunique()
    assert found.num_failed_assets == frame[frame.status == "failed"].asset_uri.nunique()
    reached = frame[frame.duration_s.notna()].drop_duplicates(["asset_uri", "track_index"])
    assert found.num_tracks == len(reached)
    assert found.audio_s == pytest.approx(reached.duration_s.sum())
    assert {s: n for (_, s), n in found.rows.items()} == frame.status.value_counts().to_dict()
    for name, query in frame.groupby("query_name"):
        count = found.queries[str(name)]
        assert dict(count.rows) == query.status.value_counts().to_dict()
        assert count.seconds == pytest.approx(query[query.status == "ok"].duration_s.sum())
        assert count.share_sum / count.num_shares == pytest.approx(query.presence_share.mean())
    expected, _ = np.histogram(frame.energy_share.dropna(), NUM_BINS, (0, 1))
    assert found.histograms["energy_share"].tolist() == expected.tolist()
    assert arrays.is_stem.sum() == (frame.status == "ok").sum()


def test_scan_rows_does_not_depend_on_the_batches():
    frame = make_frame(3_000)
    one, other = scan(frame, 3_000), scan(frame, 61)
    np.testing.assert_array_equal(one[1].asset, other[1].asset)
    np.testing.assert_array_equal(one[1].rate()[0], other[1].rate()[0])
    assert one[0].rows == other[0].rows and one[0].audio_s == pytest.approx(other[0].audio_s)


def test_scan_rows_keeps_a_few_examples_of_each_failure():
    found, _ = scan(make_frame(3_000))
    (code,) = found.failures
    examples = found.examples[code]
    assert len(examples) == MAX_EXAMPLES == len({each["asset"] for each in examples})
    assert examples[0] | {"asset": ""} == {"asset": "", "stage": "extract", "detail": "why"}


def test_scan_rows_of_nothing_and_of_old_files_that_lack_columns():
    found, arrays = scan_rows([])
    assert found.num_assets == 0 and len(arrays.rate()[0]) == 0
    few = make_frame(100)[["asset_uri", "track_index", "query_name", "status", "error_code"]]
    found, arrays = scan(few)
    assert found.num_tracks == 0 and arrays.is_stem.sum() == (few.status == "ok").sum()
    assert "decode_warnings" in SCANNED


def test_scan_rows_counts_no_query_where_none_could_be_read():
    frame = make_frame(100)
    frame.loc[:9, ["query_name", "query_text", "status"]] = ["", "", "failed"]
    found, _ = scan(frame, 7)
    assert set(found.queries) == {"siren", "rain", "dog"}
    assert sum(found.rows.values()) == 100


def test_scan_rows_says_where_a_name_has_several_texts():
    frame = make_frame(100)
    frame["query_text"] = np.where(frame.query_name == "rain", "rain", "a siren")
    frame.loc[frame.query_name == "dog", "query_text"] = [
        f"dog {n % 3}" if n % 2 else "" for n in range((frame.query_name == "dog").sum())
    ]
    for rows in (100, 7):
        found, _ = scan(frame, rows)
        texts = {name: count.text for name, count in found.queries.items()}
        assert texts == {"siren": "a siren", "rain": "rain", "dog": SEVERAL}
