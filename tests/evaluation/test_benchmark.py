"""Settings and tables that all benchmarks share."""

import pandas as pd
import pytest

from separator.config_file import read_overrides
from separator.errors import RequestError
from separator.evaluation.benchmark import BenchmarkSettings, lay_out, write_rows
from separator.evaluation.published import AUDIOSET_PAIRS, MUSDB18


def test_a_table_says_whose_figures_stand_below_ours_and_how_sure_they_are():
    table = lay_out(
        "title", MUSDB18.columns, [("a/long/" + "x" * 40, (1, -2.345, 3, 4))], [MUSDB18]
    )
    lines = table.splitlines()
    assert lines[0] == "title" and lines[1].split() == ["vocals", "drums", "bass", "other"]
    assert lines[2].split() == ["x" * 31, "1.00", "-2.35", "3.00", "4.00"]
    assert lines[4].startswith("published: Chen et al.") and "fig/results.png" in lines[4]
    assert lines[-1].split()[-8:] == [
        "6.15",
        "±0.22",
        "5.44",
        "±0.32",
        "3.80",
        "±0.23",
        "3.05",
        "±0.20",
    ]
    unsure = lay_out("title", AUDIOSET_PAIRS.columns, [], [AUDIOSET_PAIRS], "a note").splitlines()
    assert "published (from memory, not checked: do not quote)" in unsure[3]
    assert unsure[4] == "a note"


def test_published_rows_fit_their_columns():
    for table in (MUSDB18, AUDIOSET_PAIRS):
        for row in table.rows:
            assert len(row.figures) == len(table.columns)
            assert len(row.spread) in (0, len(table.columns))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=[]"], "name one model, or several different ones"),
        (["model=a", "device=gpu"], "device='gpu': must be one of auto, cpu, cuda"),
        (["model=a", "precision=fp16"], "precision='fp16': must be one of auto, fp32, bf16"),
        (["model=a", "actors=0"], "actors=0: must be a number from 1"),
        (["model=a", "limit=x"], "limit"),
    ],
)
def test_settings_are_checked(overrides, message):
    with pytest.raises(RequestError, match=message):
        read_overrides(BenchmarkSettings, overrides)


def test_settings_tell_models_and_precisions_apart(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    settings = read_overrides(BenchmarkSettings, [f"model=[{tmp_path / 'a'},{tmp_path / 'b'}]"])
    one, other = (settings.identify(model) for model in settings.model)
    assert one != other and one[-1] == "fp32" and one == settings.identify(str(tmp_path / "a"))


def test_rows_are_written_as_parquet(tmp_path):
    write_rows(
        tmp_path / "new" / "scores.parquet", [{"a": 1.5, "b": "x"}, {"a": float("nan"), "b": "y"}]
    )
    table = pd.read_parquet(tmp_path / "new" / "scores.parquet")
    assert list(table.b) == ["x", "y"] and table.a[0] == 1.5 and pd.isna(table.a[1])
