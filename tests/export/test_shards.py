"""Shards as training loops open them: webdataset and Hugging Face hear what was exported."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
import webdataset

from separator.errors import RequestError
from separator.export.card import make_card
from separator.export.select import select
from separator.export.settings import EXTENSIONS
from separator.export.shards import Contents, ShardWriter
from separator.results.paths import ExportLayout
from separator.results.schema import COLUMNS
from separator.storage import Storage
from tests.helpers.export_library import hash_tree, make_config, write_output, write_records


def export(folder: Path, *overrides: str) -> list[Contents]:
    config, storage = make_config(folder, *overrides), Storage()
    form = config.output.format
    layout = ExportLayout(config.output.uri, EXTENSIONS[form])
    writer = ShardWriter(storage, layout, form == "webdataset", config.output.residual)
    with select(storage, config) as selection:
        contents = [writer(shard.split, shard.name, shard.rows) for shard in selection.iterate()]
    storage.write(layout.card(), make_card(config, contents).encode())
    return contents


def hear(data: bytes) -> list[float]:
    return soundfile.read(io.BytesIO(data))[0].tolist()


def read_wanted(folder: Path) -> dict[str, pd.Series]:
    rows = pd.read_parquet(folder / "out/manifest")
    rows = rows[(rows.status == "ok") & (rows.kind == "stem")]
    return {row.fingerprint: row for row in rows.itertuples()}


def test_webdataset(output):
    export(output, "output.residual=true", "output.shard_mb=0.1", "output.licence=licence")
    wanted = read_wanted(output)
    shards = sorted(map(str, (output / "set/data").glob("*.tar")))
    assert len(shards) > 4
    found = {}
    for sample in webdataset.WebDataset(shards, shardshuffle=False):
        assert set(sample) - {"__key__", "__url__", "__local_path__"} == {
            "flac", "residual.flac", "json",
        }  # fmt: skip
        found[sample["__key__"]] = sample
    assert found.keys() == wanted.keys()
    for key, sample in found.items():
        row, about = wanted[key], json.loads(sample["json"])
        assert sample["flac"] == Path(row.stem_uri).read_bytes()
        assert sample["residual.flac"] == Path(row.residual_uri).read_bytes()
        assert about["query_text"] == row.query_text
        assert json.loads(about["carried"])["licence"] == (about["licence"] or None)
        assert set(about) == {*COLUMNS, "licence"}


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_hugging_face_datasets(output, tmp_path, monkeypatch, form):
    """By the card alone: the folder is all that is given."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import Audio, load_dataset

    export(output, f"output.format={form}", "output.shard_mb=0.1", "split.valid=0.3")
    data = load_dataset(str(output / "set"), cache_dir=str(tmp_path / "cache"))
    wanted = read_wanted(output)
    assert set(data) == {"train", "valid"}
    assert sum(map(len, data.values())) == len(wanted)
    column, key = ("flac", "__key__") if form == "webdataset" else ("audio", "fingerprint")
    if form == "parquet":
        assert isinstance(data["train"].features["audio"], Audio)
        assert list(data["train"].features) == ["audio", *COLUMNS, "licence"]
    for row in data["valid"]:
        heard = row[column].get_all_samples()
        samples, rate_hz = soundfile.read(wanted[row[key]].stem_uri)
        assert heard.sample_rate == rate_hz
        np.testing.assert_allclose(heard.data.numpy()[0], samples, atol=2e-5)


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_the_same_bytes_each_time(output, form):
    chosen = [f"output.format={form}", "output.shard_mb=0.1"]
    for name in ("one", "two"):
        export(output, *chosen, f"output.uri={output / name}")
    one, two = hash_tree(output / "one"), hash_tree(output / "two")
    assert one == two and len(one) > 10
    export(output, *chosen, f"output.uri={output / 'three'}", "split.seed=5")
    data = [set(hash_tree(output / name / "data").values()) for name in ("one", "three")]
    assert data[0] and not data[0] & data[1]


def test_parquet_in_row_groups_that_fit_into_memory(output, monkeypatch):
    monkeypatch.setattr("separator.export.shards.HELD_BYTES", 20_000)
    contents = export(output, "output.format=parquet", "output.residual=true", "split.valid=0")
    (path,) = (output / "set/data").iterdir()
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups > 5
        assert file.metadata.num_rows == contents[0].num_stems == 72
        row = file.read_row_group(1).to_pylist()[0]
    assert hear(row["residual"]["bytes"]) == hear(Path(row["residual_uri"]).read_bytes())


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_what_is_gone_from_storage_is_told_and_takes_nothing_along(output, form):
    gone = [row.stem_uri for row in read_wanted(output).values()][:3]
    for uri in gone:
        Path(uri).unlink()
    contents = export(output, f"output.format={form}")
    assert sorted(uri for each in contents for uri in each.missing) == sorted(gone)
    assert sum(each.num_stems for each in contents) == 69
    assert "3 stems were gone" in (output / "set/README.md").read_text()


def test_a_shard_of_nothing_is_none(output):
    for row in read_wanted(output).values():
        Path(row.stem_uri).unlink()
    (contents,) = export(output, "split.valid=0")
    assert len(contents.missing) == 72 and not (output / "set/data").exists()
    assert "72 stems were gone" in (output / "set/README.md").read_text()
    assert (output / "set/index/train-00000.json").exists()


def test_what_a_column_holds_first_is_no_rule(tmp_path, monkeypatch):
    """Nulls, numbers and texts in one column, and keys that come late: loaders see them all."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    records = write_output(Storage(), str(tmp_path / "out"), 10)
    carried = [{}, {"year": None}, {"year": 1990}, {"year": "unknown", "late": True}]
    for number, row in enumerate(records):
        row["similarity"] = None if number % 3 else 0.5
        row["carried"] = json.dumps(carried[number % 4]) if number % 4 else ""
    for path in (tmp_path / "out/manifest").iterdir():
        path.unlink()
    write_records(tmp_path, records)
    for form in ("webdataset", "parquet"):
        given = [f"output.uri={tmp_path / form}", f"output.format={form}", "output.residual=true"]
        export(tmp_path, *given)
        data = load_dataset(str(tmp_path / form), cache_dir=str(tmp_path / "cache"))
        rows = [row for split in data.values() for row in split]
        if form == "webdataset":
            rows = [row["json"] | {"audio": row["flac"]} for row in rows]
        found = {row["fingerprint"]: row for row in rows}
        assert len(found) == 18
        for row in records:
            if row["kind"] == "stem" and row["stem_uri"]:
                same = found[row["fingerprint"]]
                assert same["similarity"] == row["similarity"]
                assert (same["carried"] or "") == row["carried"]
                assert same["audio"].get_all_samples().data.shape == (1, 2_000)


def test_a_sound_too_long_for_a_row_is_named(output, monkeypatch):
    monkeypatch.setattr("separator.export.shards.MOST_BYTES", 100)
    with pytest.raises(RequestError, match="flac: too long for a row of Parquet; leave it out"):
        export(output, "output.format=parquet")


def test_the_card(output):
    export(output, "output.licence=licence", "split.valid=0.3")
    card = (output / "set/README.md").read_text()
    assert card.startswith("---\nconfigs:\n")
    assert "| CC-BY-4.0 |" in card and "| not given |" in card
    assert "| a sound \\| a | 40 |" in card and 'glob("data/train-*.tar")' in card
    rows = read_wanted(output).values()
    splits = [
        line.split(" | ") for line in card.splitlines() if line.startswith(("| train", "| va"))
    ]
    assert sum(int(cells[1]) for cells in splits) == len(rows)
    assert max(map(len, card.splitlines())) < 130


def test_from_one_store_to_another(moto_bucket, tmp_path):
    storage, root = moto_bucket.storage, moto_bucket.uri
    write_output(storage, f"{root}/out", num_assets=4)
    given = moto_bucket.settings
    config = make_config(
        tmp_path,
        f"input.uri={root}/out",
        f"output.uri={root}/set",
        f"storage.endpoint_url={given.endpoint_url}",
    )
    layout = ExportLayout(config.output.uri, "tar")
    with select(storage, config) as selection:
        for shard in selection.iterate():
            ShardWriter(storage, layout, True, False)(shard.split, shard.name, shard.rows)
    names = {entry.uri.removeprefix(f"{root}/set/") for entry in storage.list(f"{root}/set")}
    assert "data/train-00000.tar" in names and "index/train-00000.json" in names


def test_a_split_of_which_nothing_is_left_is_not_promised(output, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    with select(Storage(), make_config(output, "split.valid=0.3")) as selection:
        rows = {s.split: s.rows.to_pylist() for s in selection.iterate()}
    for row in rows["valid"]:
        Path(row["stem_uri"]).unlink()
    export(output, "split.valid=0.3")
    data = load_dataset(str(output / "set"), cache_dir=str(output / "cache"))
    assert {name: len(found) for name, found in data.items()} == {"train": len(rows["train"])}
