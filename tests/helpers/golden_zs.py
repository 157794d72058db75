"""Load the reference data of zero-shot separation, and write files as its official code does."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from separator.model.asp_unet import AspConfig, AspUnet
from separator.model.htsat import Htsat, HtsatConfig
from tests.helpers import fill_zs

FOLDER = Path(__file__).parents[1] / "data" / "golden"
SEED = 7
PCM = np.float32(32_768)


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """Load one file; sounds are stored in 16 bits, without a loss."""
    with np.load(FOLDER / f"{name}.npz") as data:
        arrays = dict(data)
    return {k: a / PCM if a.dtype == np.int16 else a for k, a in arrays.items()}


def load_tensors(name: str) -> dict[str, Tensor]:
    return {k: torch.from_numpy(a) for k, a in load_arrays(name).items()}


def list_names(name: str) -> dict[str, tuple[int, ...]]:
    """List names and shapes of an official file's tensors: `stsed`, `htsat768` or `zsasp`."""
    keys = json.loads((FOLDER / f"{name}_keys.json").read_text())
    return {key["name"]: tuple(key["shape"]) for key in keys}


def make_state(name: str) -> dict[str, Tensor]:
    """Make all tensors of an official file."""
    return {key: make_tensor(key, shape) for key, shape in list_names(name).items()}


def make_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    if name.endswith("melW"):
        return torch.from_numpy(load_arrays("htsat_inputs")["melW"])
    if fill_zs.is_constant(name):
        return torch.zeros(1)  # of the file's other constants nothing is read
    tensor = torch.from_numpy(np.asarray(fill_zs.fill(name, shape, SEED)))
    return tensor if tensor.dtype == torch.int64 else tensor.float()


def write_official(path: Path, state: dict[str, Tensor]) -> Path:
    """Write a file as Lightning 1.5 does: scores of callbacks and optimiser state beside it."""
    content = {
        "epoch": 9,
        "global_step": 7_600,
        "pytorch-lightning_version": "1.5.9",
        "state_dict": state,
        "callbacks": {"best": {"best_model_score": np.float64(10.5), "path": Path("a.ckpt")}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(10)}}, "param_groups": []}],
        "lr_schedulers": [],
    }
    torch.save(content, path)
    return path


def make_small_detector(width: int = 8, num_classes: int = 527, seed: int = 0) -> Htsat:
    """Make a small, fast detector of the official structure, with lively random weights."""
    torch.manual_seed(seed)
    net = Htsat(HtsatConfig(513, 64, width, (1, 2, 1, 1), 320, num_classes))
    for name, tensor in net.state_dict().items():
        if name.endswith("melW"):
            tensor.copy_(make_tensor(name, (513, 64)))
        elif name.startswith("bn0.running"):
            tensor.fill_(-25 if name.endswith("mean") else 200)
        elif tensor.is_floating_point() and tensor.ndim > 1:
            tensor.normal_(0, 2 / tensor[0].numel() ** 0.5)
    return net.eval()


def write_detector(path: Path, net: Htsat) -> Path:
    return write_official(path, {f"sed_model.{k}": t for k, t in net.state_dict().items()})


def make_small_unet(condition_size: int = 64, seed: int = 0, n_fft: int = 2048) -> AspUnet:
    """Make a small, fast separator of the official structure, filled as the official one is."""
    widths = (4, 4, 4, 6, 6, 6, 8)
    net = AspUnet(AspConfig(n_fft=n_fft, condition_size=condition_size, widths=widths))
    for name, tensor in net.state_dict().items():
        tensor.copy_(torch.from_numpy(np.asarray(fill_zs.fill(name, tuple(tensor.shape), seed))))
    return net.eval().requires_grad_(False)
