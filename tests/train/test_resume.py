"""What a training that continues reads from its checkpoints."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from separator.errors import CheckpointMismatch, CheckpointMissing, CheckpointTruncated
from separator.storage import Storage
from separator.train.loop import State, make_state
from separator.train.outputs import SNAPSHOT, STATE, check_checkpoints
from separator.train.recipe import OptimSettings
from separator.train.worker import METRICS, resume

HISTORY = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


def make_linear() -> State:
    net = nn.Linear(64, 64)
    return make_state(net, net, OptimSettings())


def write_checkpoint(folder: Path) -> State:
    """Write the files of a checkpoint after two steps, of a network with one layer."""
    state = make_linear()
    state.step = 2
    torch.save(state.state_dict(), folder / STATE)
    (folder / METRICS).write_text("".join(json.dumps(row) + "\n" for row in HISTORY))
    return state


def test_resume_loads_the_weights_and_returns_the_figures(tmp_path):
    saved, state = write_checkpoint(tmp_path), make_linear()
    assert resume(state, tmp_path) == HISTORY
    assert state.step == 2
    for name, weight in saved.net.state_dict().items():
        assert torch.equal(state.net.state_dict()[name], weight)


DAMAGE = [(STATE, spoil) for spoil in ("cut", "empty", "gone", "junk")]
DAMAGE += [(METRICS, spoil) for spoil in ("cut", "gone", "junk")]  # without rows it is whole


@pytest.mark.parametrize(("name", "spoil"), DAMAGE)
def test_resume_says_in_one_line_that_a_checkpoint_is_damaged(tmp_path, name, spoil):
    write_checkpoint(tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes({"cut": data[:-40], "junk": b"<html>"}.get(spoil, b""))
    if spoil == "gone":
        (tmp_path / name).unlink()
    with pytest.raises(CheckpointMismatch, match=r"is damaged .*; take another name") as caught:
        resume(make_linear(), tmp_path)
    assert "\n" not in str(caught.value)


def list_checkpoints(folder: Path, *names: str) -> None:
    """Write the list that Ray Train keeps."""
    results = [{"version": 0, "checkpoint_dir_name": name, "metrics": {}} for name in names]
    content = {"ray_version": "2.60.0", "checkpoint_results": results}
    (folder / SNAPSHOT).write_text(json.dumps(content))


def test_check_checkpoints_refuses_a_run_of_which_one_is_gone_or_half_there(tmp_path):
    check_checkpoints(Storage(), str(tmp_path))  # a new run
    for name in ("checkpoint_1", "checkpoint_2"):
        (tmp_path / name).mkdir()
        write_checkpoint(tmp_path / name)
    list_checkpoints(tmp_path, "checkpoint_1", "checkpoint_2")
    check_checkpoints(Storage(), str(tmp_path))
    (tmp_path / "checkpoint_2" / STATE).unlink()
    with pytest.raises(CheckpointMissing, match="checkpoint_2: is gone, or not whole"):
        check_checkpoints(Storage(), str(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", '{"checkpoint_results": [{"checkpoint_dir', "null"])
def test_check_checkpoints_refuses_a_damaged_list(tmp_path, text):
    (tmp_path / SNAPSHOT).write_text(text)
    with pytest.raises(CheckpointTruncated, match=f"{SNAPSHOT}: is damaged; take another name"):
        check_checkpoints(Storage(), str(tmp_path))
