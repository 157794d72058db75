"""Load the reference data: the official network's output, and the weights behind it."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from separator.model.resunet import NetworkConfig, ResUNet

FOLDER = Path(__file__).parents[1] / "data" / "golden"
SEED = 7


def load_arrays() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "resunet30.npz") as data:
        return dict(data)


def load_fill() -> Callable[[str, tuple[int, ...], int], np.ndarray]:
    spec = importlib.util.spec_from_file_location("fill", FOLDER / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fill


def make_state_dict(seed: int = SEED) -> dict[str, Tensor]:
    """Make the official network's 327 tensors, filled equally on every machine."""
    fill = load_fill()
    keys = json.loads((FOLDER / "resunet30_keys.json").read_text())
    state = {}
    for key in keys:
        tensor = torch.from_numpy(np.asarray(fill(key["name"], tuple(key["shape"]), seed)))
        state[key["name"]] = tensor if tensor.dtype == torch.int64 else tensor.float()
    return state


def write_official_checkpoint(path: Path, extra: dict[str, Tensor] | None = None) -> Path:
    """Write a Lightning-style file: the separator under `ss_model.`, STFT constants, `extra`."""
    state = {f"ss_model.{name}": tensor for name, tensor in make_state_dict().items()}
    state["ss_model.base.stft.conv_real.weight"] = torch.zeros(1025, 1, 4)
    state["ss_model.base.istft.ola_window"] = torch.zeros(8)
    torch.save(
        {
            "epoch": 3,
            "global_step": 4_000_000,
            "pytorch-lightning_version": "1.7.7",
            "state_dict": state | (extra or {}),
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(10)}}, "param_groups": []}],
            "lr_schedulers": [],
        },
        path,
    )
    return path


def make_small_net(
    widths: tuple[int, ...] = (4, 4, 4, 6, 6, 6), seed: int = 1, n_fft: int = 2048
) -> ResUNet:
    """Make a small, fast network of the same structure, filled by the same recipe."""
    net = ResUNet(NetworkConfig(widths=widths, n_fft=n_fft)).eval()
    fill = load_fill()
    state = {}
    for name, tensor in net.state_dict().items():
        values = torch.from_numpy(np.asarray(fill(name, tuple(tensor.shape), seed)))
        state[name] = values.to(tensor.dtype)
    net.load_state_dict(state)
    return net.requires_grad_(False)


def relative_error(out: Tensor, reference: Tensor) -> float:
    scale = reference.double().norm()
    return float((out.double() - reference.double()).norm() / scale)
