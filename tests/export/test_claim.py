"""What an export takes as done of the data set that is there."""

import json
from pathlib import Path

import pytest

from jobs.export import claim
from separator.errors import OutputDamaged, RequestError
from separator.export.select import select
from separator.results.paths import ExportLayout
from separator.storage import Storage
from tests.helpers.export_library import export, make_config, write_output

SMALL = "output.shard_mb=0.02"


def claim_again(output, folder, *given: str, storage: Storage | None = None) -> dict:
    storage = storage or Storage()
    config = make_config(Path("unused/out"), f"input.uri={output}", f"output.uri={folder}", *given)
    with select(storage, config) as selection:
        return claim(storage, ExportLayout(config.output.uri), selection, config)


@pytest.mark.parametrize("form", ["webdataset", "lhotse_shar"])
def test_a_shard_is_done_while_its_index_and_all_of_its_files_are_whole(own_output, tmp_path, form):
    given, folder = [SMALL, f"output.format={form}"], tmp_path / "set"
    assert claim_again(own_output, folder, *given) == {}
    wanted = {path.stem for path in _export(own_output, folder, given)}
    assert claim_again(own_output, folder, *given).keys() == wanted
    gone, cut, damaged, other = sorted(wanted)[:4]
    files = {name: read_files(folder, name) for name in (gone, cut)}
    files[gone][-1].unlink()
    files[cut][-1].write_bytes(files[cut][-1].read_bytes()[:-1])
    (folder / f"index/{damaged}.json").write_bytes(b"")
    (folder / f"index/{other}.json").write_text("{}")
    (folder / "index/foreign.json").write_text("[1]")
    assert claim_again(own_output, folder, *given).keys() == wanted - {gone, cut, damaged, other}


def test_shards_on_s3_are_done_when_they_are_whole(moto_bucket):
    output, folder = f"{moto_bucket.uri}/out", f"{moto_bucket.uri}/set"
    write_output(moto_bucket.storage, output, num_assets=10)
    assert claim_again(output, folder, SMALL, storage=moto_bucket.storage) == {}
    made = export(output, folder, SMALL, storage=moto_bucket.storage)
    found = claim_again(output, folder, SMALL, storage=moto_bucket.storage)
    assert len(found) == len(made) > 1
    lost = next(iter(found.values())).files[0].name
    moto_bucket.storage.delete(f"{folder}/{lost}")
    assert len(claim_again(output, folder, SMALL, storage=moto_bucket.storage)) == len(made) - 1


@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[]", "7"])
def test_an_export_json_of_others_is_named(own_output, tmp_path, text):
    (folder := tmp_path / "set").mkdir()
    (folder / "export.json").write_text(text)
    with pytest.raises(OutputDamaged, match=r"export\.json: is no description of an export; choo"):
        claim_again(own_output, folder)


def _export(output: Path, folder: Path, given: list[str]) -> list[Path]:
    """Write the data set; return the index of each shard."""
    export(output, folder, *given)
    return list((folder / "index").glob("*.json"))


def read_files(folder: Path, name: str) -> list[Path]:
    about = json.loads((folder / f"index/{name}.json").read_text())
    return [folder / file["name"] for file in about["files"]]


def test_shards_of_other_splits_are_refused(own_output, tmp_path):
    """The stems are the same; only the groups, and so their splits, are others."""
    given = ["split.by=random()", "split.valid=0.5"]
    assert claim_again(own_output, tmp_path / "set", *given) == {}
    with pytest.raises(RequestError, match="holds another data set"):
        claim_again(own_output, tmp_path / "set", *given)


def test_a_folder_with_shards_of_others_is_refused(own_output, tmp_path):
    """Readers would take them for a part of the data set."""
    (tmp_path / "set/data").mkdir(parents=True)
    (tmp_path / "set/data/train-00099.tar").write_bytes(b"of others")
    with pytest.raises(RequestError, match=r"holds a data/train-00099\.tar that is not ours"):
        claim_again(own_output, tmp_path / "set")
    assert not (tmp_path / "set/export.json").exists()
