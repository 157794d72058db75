"""Croissant metadata: `mlcroissant` validates it, checks hashes, loads rows and sounds by it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from separator.storage import Storage
from tests.helpers.croissant import open_croissant
from tests.helpers.export_library import export, write_manifest, write_output

GIVEN = ["output.residual=true", "output.licence=licence", "split.valid=0.3"]
FEW_SHARDS = "output.shard_mb=0.03"


def cut_names(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name.partition("/")[2]: value for name, value in row.items()} for row in rows]


def read_wanted(output: Path) -> pd.DataFrame:
    rows = pd.read_parquet(output / "manifest")
    return rows[(rows.status == "ok") & (rows.kind == "stem")].set_index("fingerprint")


def check_columns(found: list[dict[str, Any]], wanted: pd.DataFrame) -> None:
    assert sorted(row["fingerprint"].decode() for row in found) == sorted(wanted.index)
    for row in found:
        same = wanted.loc[row["fingerprint"].decode()]
        assert row["query_text"].decode() == same.query_text
        assert row["num_samples"] == same.num_samples and row["duration_s"] == same.duration_s
        assert row["energy_share"] == pytest.approx(same.energy_share)
        assert row["created_at"] == same.created_at
        assert row["similarity"] is None or pd.isna(row["similarity"])
        stretches = [{k.rpartition("/")[2]: v for k, v in each.items()} for each in row["presence"]]
        assert stretches == list(same.presence)


def check_sounds(found: list[dict[str, Any]], wanted: pd.Series) -> None:
    contents = {row["key"].decode(): row["content"] for row in found}
    assert contents == {key: Path(uri).read_bytes() for key, uri in wanted.items()}


def open_splits(folder: Path, *names: str) -> dict[str, list[dict[str, Any]]]:
    """Validate, and load the records of both splits of each kind; `""`: the columns."""
    splits = ("train", "valid")
    asked = {name: [split + (f"-{name}" if name else "") for split in splits] for name in names}
    about = open_croissant(folder, *(each for pair in asked.values() for each in pair))
    assert about["issues"] == [] and about["is_v1_1"] and "WARNING" not in about["said"]
    assert sorted(about["license"]) == ["CC-BY-4.0", "CC0-1.0"]
    records = about["records"]
    assert all(records[each] for pair in asked.values() for each in pair)
    return {
        name: cut_names([row for each in pair for row in records[each]])
        for name, pair in asked.items()
    }


@pytest.mark.slow
@pytest.mark.check
def test_mlcroissant_loads_columns_and_sounds_of_parquet(own_output, tmp_path):
    export(own_output, tmp_path / "set", "output.format=parquet", *GIVEN, FEW_SHARDS)
    rows = open_splits(tmp_path / "set", "")[""]
    wanted = read_wanted(own_output)
    check_columns(rows, wanted)
    for row in rows:
        same = wanted.loc[row["fingerprint"].decode()]
        assert row["audio"] == Path(same.stem_uri).read_bytes()
        assert row["residual"] == Path(same.residual_uri).read_bytes()


@pytest.mark.slow
@pytest.mark.check
def test_mlcroissant_loads_rows_and_sounds_of_webdataset(own_output, tmp_path):
    export(own_output, tmp_path / "set", "output.format=webdataset", *GIVEN, FEW_SHARDS)
    found = open_splits(tmp_path / "set", "json", "audio", "residual")
    wanted = read_wanted(own_output)
    check_sounds(found["audio"], wanted.stem_uri)
    check_sounds(found["residual"], wanted.residual_uri)
    for row in found["json"]:
        about = json.loads(row["content"])
        assert about["fingerprint"] == row["key"].decode()
        assert about["stem_uri"] == wanted.loc[about["fingerprint"]].stem_uri


@pytest.mark.slow
@pytest.mark.check
def test_mlcroissant_loads_columns_and_sounds_of_lhotse_shar(own_output, tmp_path):
    export(own_output, tmp_path / "set", "output.format=lhotse_shar", *GIVEN, FEW_SHARDS)
    found = open_splits(tmp_path / "set", "", "recording", "target_audio")
    wanted = read_wanted(own_output)
    check_columns(found[""], wanted)
    check_sounds(found["target_audio"], wanted.stem_uri)
    assert sorted(row["key"].decode() for row in found["recording"]) == sorted(wanted.index)


@pytest.mark.slow
@pytest.mark.check
def test_mlcroissant_finds_a_shard_that_has_changed(own_output, tmp_path):
    export(own_output, tmp_path / "set", "split.valid=0")
    path = tmp_path / "set/data/train-00000.tar"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssertionError, match=r"Hash of downloaded file .*train-00000.tar is not"):
        open_croissant(tmp_path / "set", "train-audio")


@pytest.mark.parametrize("form", ["webdataset", "parquet", "lhotse_shar"])
def test_croissant_names_every_file_of_data_with_size_and_hash(own_output, tmp_path, form):
    export(own_output, tmp_path / "set", f"output.format={form}", *GIVEN, FEW_SHARDS)
    about = json.loads((tmp_path / "set/croissant.json").read_text())
    files = [each for each in about["distribution"] if each["@type"] == "cr:FileObject"]
    found = {each["contentUrl"]: (each["contentSize"], each["sha256"]) for each in files}
    paths = [path for path in (tmp_path / "set/data").rglob("*") if path.is_file()]
    assert len(found) == len(files) == len(paths) > 4
    for path in paths:
        data = path.read_bytes()
        wanted = f"{len(data)} B", hashlib.sha256(data).hexdigest()
        assert found[path.relative_to(tmp_path / "set").as_posix()] == wanted


def test_croissant_and_card_name_each_network_with_its_own_weights(tmp_path):
    networks = {"a": ("mini", "aa"), "b": ("audiosep", "bb"), "m": ("mini", "aa")}
    records = write_output(Storage(), str(tmp_path / "out"), 10)
    for row in records:
        row["model_name"], row["checkpoint_sha256"] = networks[row["query_name"]]
    write_manifest(Storage(), str(tmp_path / "other"), records)
    export(tmp_path / "other", tmp_path / "set", "output.shard_mb=0.03")
    about = json.loads((tmp_path / "set/croissant.json").read_text())
    wanted = ["audiosep, weights with sha256 bb", "mini, weights with sha256 aa"]
    assert about["rai:machineAnnotationTools"] == wanted
    assert f"- Network: {'; '.join(wanted)}\n" in (tmp_path / "set/README.md").read_text()


def test_croissant_of_stems_without_licences_names_none(own_output, tmp_path):
    export(own_output, tmp_path / "set", "split.valid=0", "output.hub=someone/sirens")
    about = json.loads((tmp_path / "set/croissant.json").read_text())
    assert "license" not in about and about["datePublished"] == "2026-01-01"
    assert about["url"] == "https://huggingface.co/datasets/someone/sirens"
    assert [each["@id"] for each in about["recordSet"]] == ["train", "train-json", "train-audio"]
