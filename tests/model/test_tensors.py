"""Test reading and writing named tensors."""

import torch

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
