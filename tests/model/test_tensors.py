"""Test reading and writing named tensors."""

import pytest
import torch

from separator.errors import CheckpointMismatch
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
