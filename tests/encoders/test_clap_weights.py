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
    """Unpickled carelessly, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.path),))


def test_an_official_file_is_read_whole(clap_file: Path, clap_state: dict[str, Tensor]) -> None:
    state = read_clap_file(clap_file)
    assert state.keys() == clap_state.keys()
    assert all(torch.equal(state[name], clap_state[name]) for name in state)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}])
def test_bare_state_dicts_are_read_too(wrap, tmp_path: Path) -> None:
    # A name that only begins with the prefix by chance stays as it is.
    state = {"module.a": torch.ones(2), "b": torch.zeros(3)}
    torch.save(wrap(state), tmp_path / "a.pt")
    assert list(read_clap_file(tmp_path / "a.pt")) == ["module.a", "b"]


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    torch.save({"state_dict": {"a": torch.ones(1)}, "x": RunsCode(trap)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointUnsafe, match="mkdir"):
        read_clap_file(tmp_path / "a.pt")
    assert not trap.exists()


@pytest.mark.parametrize("value", [np.float64(1), np.float32(2), np.int64(3)])
def test_numpy_numbers_beside_the_tensors_do_no_harm(value: np.generic, tmp_path: Path) -> None:
    torch.save({"best": value, "state_dict": {"a": torch.ones(2)}}, tmp_path / "a.pt")
    assert list(read_clap_file(tmp_path / "a.pt")) == ["a"]


def test_half_a_file_is_told_from_a_whole_one(clap_file: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.pt"
    with clap_file.open("rb") as file:
        half.write_bytes(file.read(1_000_000))
    with pytest.raises(CheckpointTruncated, match=r"half\.pt"):
        read_clap_file(half)


def test_a_file_without_an_encoder_names_what_it_lacks(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "a.pt")
    with pytest.raises(EncoderError, match=r"text_branch\.embeddings\.word_embeddings"):
        load_clap(read_clap_file(tmp_path / "a.pt"))


def test_sizes_are_read_off_the_tensors(clap_state: dict[str, Tensor]) -> None:
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
def test_unknown_sizes_are_refused(
    name: str, shape: tuple, message: str, clap_state: dict[str, Tensor]
) -> None:
    with pytest.raises(EncoderError, match=message):
        read_sizes(clap_state | {name: torch.zeros(shape)})


def test_tensors_that_do_not_fit_are_named_and_counted() -> None:
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
