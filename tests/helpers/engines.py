"""Make engines whose windows have a chosen length, and sounds for them."""

import torch
from torch import Tensor

from separator.model.engine import Engine
from separator.model.networks import Network
from separator.model.resunet import NetworkConfig, ResUNet


def make_engine(net: Network, channels: str = "each", window: int | None = None, **more) -> Engine:
    """`window`: the frames of the longest window."""
    engine = Engine(net, "cpu", "fp32", "off", channels, **more)  # pyright: ignore
    if window is not None:
        engine.forward.budget_bytes = engine.forward.count_bytes(window)
        assert engine.forward.longest_window == window
    return engine


def make_noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_small_engine() -> Engine:
    """A network of next to no size, with random weights."""
    torch.manual_seed(0)
    config = NetworkConfig(n_fft=256, hop=80, widths=(2, 2, 2, 2, 2, 2), condition_size=8)
    return make_engine(ResUNet(config).eval().requires_grad_(False), "linked")
