import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from separator.encoders.clap import load_clap
from separator.encoders.clap_weights import check_state, read_clap_file, read_sizes
from separator.errors import (
    CheckpointTruncated,
    CheckpointUnsafe,
    EncoderError,
)
from tests.helpers import tiny_clap


class RunsCode:
    """Creates a folder when unpickled without checks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.path),))


def test_read_clap_file_reads_an_official_file_whole(
    clap_file: Path, clap_state: dict[str, Tensor]
) -> None:
    state = read_clap_file(clap_file)
    assert state.keys() == clap_state.keys()
    assert all(torch.equal(state[name], clap_state[name]) for name in state)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}])
def test_read_clap_file_reads_bare_state_dicts(wrap, tmp_path: Path) -> None:
    # The prefix is removed only where all names have it.
    state = {"module.a": torch.ones(2), "b": torch.zeros(3)}
    torch.save(wrap(state), tmp_path / "a.pt")
    assert list(read_clap_file(tmp_path / "a.pt")) == ["module.a", "b"]


def test_read_clap_file_refuses_code_without_running_it(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    torch.save({"state_dict": {"a": torch.ones(1)}, "x": RunsCode(trap)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointUnsafe, match="mkdir"):
        read_clap_file(tmp_path / "a.pt")
    assert not trap.exists()


@pytest.mark.parametrize("value", [np.float64(1), np.float32(2), np.int64(3)])
def test_read_clap_file_accepts_numpy_numbers_beside_the_tensors(
    value: np.generic, tmp_path: Path
) -> None:
    torch.save({"best": value, "state_dict": {"a": torch.ones(2)}}, tmp_path / "a.pt")
    assert list(read_clap_file(tmp_path / "a.pt")) == ["a"]


def test_read_clap_file_recognises_a_truncated_file(clap_file: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.pt"
    with clap_file.open("rb") as file:
        half.write_bytes(file.read(1_000_000))
    with pytest.raises(CheckpointTruncated, match=r"half\.pt"):
        read_clap_file(half)


def test_load_clap_names_what_a_file_without_an_encoder_lacks(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "a.pt")
    with pytest.raises(EncoderError, match=r"text_branch\.embeddings\.word_embeddings"):
        load_clap(read_clap_file(tmp_path / "a.pt"))


def test_read_sizes_finds_the_sizes_of_the_tensors(clap_state: dict[str, Tensor]) -> None:
    assert read_sizes(clap_state) == tiny_clap.SIZES
    assert tiny_clap.SIZES.heads == 2


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("audio_branch.patch_embed.proj.weight", (100, 1, 4, 4), "100 channels; known are"),
        ("audio_branch.patch_embed.proj.weight", (96,), r"has the shape \(96,\)"),
        ("text_branch.embeddings.word_embeddings.weight", (), r"has the shape \(\)"),
        ("text_branch.embeddings.word_embeddings.weight", (0, 128), r"has the shape \(0, 128\)"),
    ],
)
def test_read_sizes_refuses_unknown_sizes(
    name: str, shape: tuple, message: str, clap_state: dict[str, Tensor]
) -> None:
    with pytest.raises(EncoderError, match=message):
        read_sizes(clap_state | {name: torch.zeros(shape)})


def test_check_state_names_and_counts_tensors_that_do_not_fit() -> None:
    expected = {name: torch.zeros(2) for name in "abcdef"}
    check_state(expected, expected)
    with pytest.raises(EncoderError, match=r"1 tensors do not fit.*: d is missing$"):
        check_state({name: expected[name] for name in "abcef"}, expected)
    with pytest.raises(EncoderError, match=r"g is not part of the network$"):
        check_state({**expected, "g": torch.zeros(2)}, expected)
    with pytest.raises(EncoderError, match=r"b has the shape \(3,\) instead of \(2,\)$"):
        check_state({**expected, "b": torch.zeros(3)}, expected)
    with pytest.raises(EncoderError, match=r"6 tensors.*: a is .*; b is .*; c is missing, \.\.\.$"):
        check_state({}, expected)


def test_text_side_that_does_not_fit_is_refused_before_it_takes_memory(
    clap_state: dict[str, Tensor], tokenizer_path: Path
) -> None:
    """One tensor names layer 99,999, another one makes each layer of petabytes."""
    layer = "text_branch.encoder.layer.{}.intermediate.dense.weight"
    far = clap_state | {layer.format(99_999): torch.zeros(1)}
    assert read_sizes(far).layers == 3
    with pytest.raises(EncoderError, match=r"tensors do not fit.*layer\.2\."):
        load_clap(far, tokenizer_path)
    wide = clap_state | {layer.format(0): torch.empty(1 << 40, 128, device="meta")}
    with pytest.raises(EncoderError, match="tensors do not fit"):
        load_clap(wide, tokenizer_path)
