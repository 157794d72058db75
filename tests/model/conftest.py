"""Provide a small network and its checkpoint files."""

from pathlib import Path

import pytest

from separator.model.checkpoint import (
    write_safetensors,
)
from separator.model.resunet import ResUNet
from tests.helpers.checkpoints import make_net, write_lightning


@pytest.fixture(scope="module")
def net() -> ResUNet:
    return make_net()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, net: ResUNet) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("small")
    write_safetensors(net, folder / "c", "clap:1")
    return {
        "zip": write_lightning(net, folder / "a"),
        "legacy": write_lightning(net, folder / "b", legacy=True),
        "safetensors": folder / "c",
    }
