"""Convolve in full fp32 on a GPU."""

from contextlib import AbstractContextManager, nullcontext

import torch


def exact_convolutions(device: torch.device) -> AbstractContextManager:
    """cuDNN's default is TF32, whose ten bits are too few for samples."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
