"""Shards as training loops open them: webdataset and Hugging Face decode what was exported."""

import glob
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
import webdataset

from separator.errors import RequestError
from separator.export.columns import EXPORTED
from separator.export.select import select
from separator.storage import Storage
from tests.helpers.export_library import (
    NUM_STEMS,
    RATE_HZ,
    export,
    hash_tree,
    make_config,
    make_records,
    write_manifest,
    write_output,
)

FORMATS = pytest.mark.parametrize("form", ["webdataset", "parquet"])


def load(folder: Path, monkeypatch):
    """Open a data set with Hugging Face's `datasets`, by its folder alone."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    return load_dataset(str(folder), cache_dir=str(folder.with_name("cache")))


def decode(data: bytes) -> list[float]:
    return soundfile.read(io.BytesIO(data))[0].tolist()


def read_wanted(output: Path) -> dict[str, pd.Series]:
    rows = pd.read_parquet(output / "manifest")
    rows = rows[(rows.status == "ok") & (rows.kind == "stem")]
    return {row.fingerprint: row for row in rows.itertuples()}


def test_webdataset_reads_stems_residuals_and_rows(output, tmp_path):
    given = ["output.residual=true", "output.shard_mb=0.1", "output.licence=licence"]
    export(output, tmp_path / "set", *given)
    wanted = read_wanted(output)
    shards = sorted(map(str, (tmp_path / "set/data").glob("*.tar")))
    assert len(shards) > 4
    found = {}
    for sample in webdataset.WebDataset(shards, shardshuffle=False):
        assert set(sample) - {"__key__", "__url__", "__local_path__"} == {
            "flac",
            "residual.flac",
            "json",
        }
        found[sample["__key__"]] = sample
    assert found.keys() == wanted.keys()
    for key, sample in found.items():
        row, about = wanted[key], json.loads(sample["json"])
        assert sample["flac"] == Path(row.stem_uri).read_bytes()
        assert sample["residual.flac"] == Path(row.residual_uri).read_bytes()
        assert about["query_text"] == row.query_text
        assert json.loads(about["carried"])["licence"] == (about["licence"] or None)
        assert set(about) == set(EXPORTED)


@FORMATS
def test_hugging_face_reads_splits_and_sounds(output, tmp_path, monkeypatch, form):
    given = [f"output.format={form}", "output.shard_mb=0.1", "split.valid=0.3"]
    export(output, tmp_path / "set", *given)
    data = load(tmp_path / "set", monkeypatch)
    wanted = read_wanted(output)
    assert set(data) == {"train", "valid"}
    assert sum(map(len, data.values())) == len(wanted)
    column, key = ("flac", "__key__") if form == "webdataset" else ("audio", "fingerprint")
    if form == "parquet":
        assert str(data["train"].features["audio"]).startswith("Audio(")
        assert list(data["train"].features) == ["audio", *EXPORTED]
    for row in data["valid"]:
        heard = row[column].get_all_samples()
        samples, rate_hz = soundfile.read(wanted[row[key]].stem_uri)
        assert heard.sample_rate == rate_hz
        np.testing.assert_allclose(heard.data.numpy()[0], samples, atol=2e-5)


@FORMATS
def test_card_names_the_sounds_as_its_own_reader_finds_them(
    own_output, tmp_path, monkeypatch, form
):
    given = [f"output.format={form}", "output.residual=true"]
    export(own_output, tmp_path / "set", *given, "split.valid=0")
    card = (tmp_path / "set/README.md").read_text()
    (line,) = [line for line in card.splitlines() if line.startswith("- Sounds: ")]
    names = re.findall("`(.+?)`", line)
    assert len(names) == 2
    monkeypatch.chdir(tmp_path / "set")
    if form == "webdataset":
        (code,) = re.findall("`(webdataset.WebDataset.*)`", card)
        rows = list(eval(code, {"webdataset": webdataset, "glob": glob.glob}))
        sounds = [row[name] for row in rows for name in names]
    else:
        (path,) = Path("data").iterdir()
        sounds = [each["bytes"] for name in names for each in pq.read_table(path)[name].to_pylist()]
    assert len(sounds) == 2 * 18
    assert all(len(decode(sound)) == RATE_HZ // 4 for sound in sounds)


@pytest.mark.parametrize("form", ["webdataset", "parquet", "lhotse_shar"])
def test_same_settings_give_the_same_bytes(output, tmp_path, form):
    chosen = [f"output.format={form}", "output.shard_mb=0.1"]
    for name in ("one", "two"):
        export(output, tmp_path / name, *chosen)
    one, two = hash_tree(tmp_path / "one"), hash_tree(tmp_path / "two")
    assert one == two and len(one) > 10
    export(output, tmp_path / "three", *chosen, "split.seed=5")
    data = [set(hash_tree(tmp_path / name / "data").values()) for name in ("one", "three")]
    assert data[0] and not data[0] & data[1]


def test_parquet_row_groups_are_bounded_in_bytes(output, tmp_path, monkeypatch):
    monkeypatch.setattr("separator.export.parquet_shards.HELD_BYTES", 20_000)
    given = ["output.format=parquet", "output.residual=true", "split.valid=0"]
    contents = export(output, tmp_path / "set", *given)
    (path,) = (tmp_path / "set/data").iterdir()
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups > 5
        assert file.metadata.num_rows == contents[0].num_stems == NUM_STEMS
        row = file.read_row_group(1).to_pylist()[0]
    assert decode(row["residual"]["bytes"]) == decode(Path(row["residual_uri"]).read_bytes())


@FORMATS
def test_missing_stems_are_listed_and_left_out_alone(own_output, tmp_path, form):
    gone = [row.stem_uri for row in read_wanted(own_output).values()][:3]
    for uri in gone:
        Path(uri).unlink()
    contents = export(own_output, tmp_path / "set", f"output.format={form}")
    assert sorted(uri for each in contents for uri in each.missing) == sorted(gone)
    assert sum(each.num_stems for each in contents) == 15
    assert "3 stems are missing" in (tmp_path / "set/README.md").read_text()


@pytest.mark.parametrize("form", ["webdataset", "parquet", "lhotse_shar"])
@pytest.mark.parametrize("cut", ["none", "presence"])
def test_damaged_stems_are_left_out_as_missing_ones_are(own_output, tmp_path, form, cut):
    heard = [row for row in read_wanted(own_output).values() if len(row.presence)]
    damaged = [row.stem_uri for row in heard[:3]]
    for uri, num_bytes in zip(damaged, (0, 1_000, 1), strict=True):
        Path(uri).write_bytes(Path(uri).read_bytes()[:num_bytes])
    contents = export(own_output, tmp_path / "set", f"output.format={form}", f"input.cut={cut}")
    assert {uri for each in contents for uri in each.missing} == set(damaged)
    whole = 15 if cut == "none" else sum(len(row.presence) for row in heard[3:])
    assert sum(each.num_stems for each in contents) == whole


def test_shard_without_stems_has_an_index_and_no_file(own_output, tmp_path):
    for row in read_wanted(own_output).values():
        Path(row.stem_uri).unlink()
    (contents,) = export(own_output, tmp_path / "set", "split.valid=0")
    assert len(contents.missing) == 18 and not (tmp_path / "set/data").exists()
    assert "18 stems are missing" in (tmp_path / "set/README.md").read_text()
    assert (tmp_path / "set/index/train-00000.json").exists()


def test_split_without_stems_is_not_in_the_card(own_output, tmp_path, monkeypatch):
    with select(Storage(), make_config(own_output, "split.valid=0.4")) as selection:
        rows = {s.split: s.rows.to_pylist() for s in selection.iterate()}
    for row in rows["valid"]:
        Path(row["stem_uri"]).unlink()
    export(own_output, tmp_path / "set", "split.valid=0.4")
    data = load(tmp_path / "set", monkeypatch)
    assert {name: len(found) for name, found in data.items()} == {"train": len(rows["train"])}


@FORMATS
def test_hugging_face_reads_columns_of_mixed_nulls_and_types(tmp_path, monkeypatch, form):
    """A loader that takes types from the first rows would fail at a later one."""
    output = tmp_path / "out"
    write_output(Storage(), str(output), 10)
    for path in (output / "manifest").iterdir():
        path.unlink()
    carried = [{}, {"year": None}, {"year": 1990}, {"year": "unknown", "late": True}]
    records = make_records(str(output), 10)
    for number, row in enumerate(records):
        row["similarity"] = None if number % 3 else 0.5
        row["carried"] = json.dumps(carried[number % 4]) if number % 4 else ""
    write_manifest(Storage(), str(output), records)
    export(output, tmp_path / "set", f"output.format={form}", "output.residual=true")
    rows = [row for split in load(tmp_path / "set", monkeypatch).values() for row in split]
    if form == "webdataset":
        rows = [row["json"] | {"audio": row["flac"]} for row in rows]
    found = {row["fingerprint"]: row for row in rows}
    wanted = [row for row in records if row["kind"] == "stem" and row["stem_uri"]]
    assert len(found) == len(wanted) == 18
    for row in wanted:
        same = found[row["fingerprint"]]
        assert same["similarity"] == row["similarity"]
        assert (same["carried"] or "") == row["carried"]
        assert same["audio"].get_all_samples().data.shape == (1, RATE_HZ // 4)


def test_sound_too_long_for_a_parquet_row_is_named(output, tmp_path, monkeypatch):
    monkeypatch.setattr("separator.export.parquet_shards.MAX_BYTES", 100)
    with pytest.raises(RequestError, match="flac: too long for a row of Parquet; leave it out"):
        export(output, tmp_path / "set", "output.format=parquet")


def test_card_counts_splits_queries_and_licences(output, tmp_path):
    where = "query_name || '|' <> '|'"
    given = ["output.licence=licence", "split.valid=0.3", f"input.where={where}"]
    export(output, tmp_path / "set", *given)
    card = (tmp_path / "set/README.md").read_text()
    assert f"- Selected: `{where}`\n" in card
    assert card.startswith("---\nconfigs:\n")
    assert "| CC-BY-4.0 |" in card and "| not given |" in card
    assert "| a sound \\| a | 40 |" in card and 'glob("data/train-*.tar")' in card
    splits = [
        line.split(" | ") for line in card.splitlines() if line.startswith(("| train", "| va"))
    ]
    assert sum(int(cells[1]) for cells in splits) == NUM_STEMS
    assert max(map(len, card.splitlines())) < 130


def test_shards_are_written_from_s3_to_s3(moto_bucket):
    storage, root = moto_bucket.storage, moto_bucket.uri
    write_output(storage, f"{root}/out", num_assets=4)
    export(f"{root}/out", f"{root}/set", storage=storage)
    names = {entry.uri.removeprefix(f"{root}/set/") for entry in storage.list(f"{root}/set")}
    assert {"data/train-00000.tar", "index/train-00000.json", "croissant.json"} <= names


@FORMATS
def test_cut_gives_a_sample_for_each_stretch_of_presence(own_output, tmp_path, monkeypatch, form):
    given = [f"output.format={form}", "input.cut=presence", "input.pad_s=0.02", "split.valid=0"]
    export(own_output, tmp_path / "set", *given, "output.residual=true")
    data = load(tmp_path / "set", monkeypatch)["train"]
    wanted = {
        (row.fingerprint, i): (row, stretch)
        for row in read_wanted(own_output).values()
        for i, stretch in enumerate(row.presence)
    }
    assert len(data) == len(wanted) > 10
    sounds = ("flac", "residual.flac") if form == "webdataset" else ("audio", "residual")
    for sample in data:
        about = sample["json"] if form == "webdataset" else sample
        key, _, number = about["fingerprint"].rpartition("-")
        row, stretch = wanted[key, int(number) - 1]
        start_s, stop_s = max(0.0, stretch["start_s"] - 0.02), stretch["stop_s"] + 0.02
        times = about["cut_start_s"], about["cut_stop_s"]
        assert times == (pytest.approx(start_s), pytest.approx(min(stop_s, 0.25)))
        rows = slice(*(round(t * row.rate_hz) for t in times))
        for sound, uri in zip(sounds, (row.stem_uri, row.residual_uri), strict=True):
            found = sample[sound].get_all_samples().data.numpy()[0]
            whole, _ = soundfile.read(uri)
            assert len(found) == about["num_samples"]
            np.testing.assert_allclose(found, whole[rows], atol=2e-5)


def test_cut_of_stems_whose_query_is_heard_nowhere_is_refused(own_output, tmp_path):
    given = ["input.cut=presence", "input.where=len(presence) = 0"]
    with pytest.raises(RequestError, match="in which its query is heard"):
        export(own_output, tmp_path / "set", *given)
