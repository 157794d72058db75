"""Test reading and writing named tensors."""

import zipfile

import pytest
import torch

from separator.errors import CheckpointMismatch, CheckpointTruncated
from separator.model.tensors import read_tensors, write_tensors


def test_read_tensors_of_header_that_begins_like_pickle(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {"x": torch.ones(2)}
    for padding in range(300):
        write_tensors(path, tensors, {"padding": "." * padding})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert torch.equal(read_tensors(path)[0]["x"], tensors["x"])


@pytest.mark.parametrize("metadata", [{"format": "pt", "sha256": "0"}, {"sha256": "0"}])
def test_read_tensors_takes_metadata_of_other_programs_for_none(metadata, tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.ones(2)}, metadata)
    tensors, found = read_tensors(path)
    assert torch.equal(tensors["x"], torch.ones(2)) and found == {}


@pytest.mark.parametrize("version", ["separator/2", "separator/"])
def test_read_tensors_refuses_other_versions_of_ours(version, tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.ones(2)}, {"format": version})
    with pytest.raises(CheckpointMismatch, match=version):
        read_tensors(path)


def test_read_tensors_refuses_a_compressed_archive_before_it_is_unpacked(tmp_path):
    """Such a file comes from unpacking and packing again, or is to fill the memory."""
    torch.save({"x": torch.ones(2)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as plain,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(CheckpointTruncated, match=r"b\.pt: a zip archive with compressed contents"):
        read_tensors(tmp_path / "b.pt")
    assert torch.equal(read_tensors(tmp_path / "a.pt")[0]["x"], torch.ones(2))


def test_read_tensors_says_where_a_training_file_has_its_tensors(tmp_path):
    state = {"x": torch.ones(2)}
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, "model": state}, tmp_path / "a.pt")
    with pytest.raises(CheckpointMismatch, match=r"no tensors at its top.*'optimizer', 'model'"):
        read_tensors(tmp_path / "a.pt")
