"""Choose the device of a network, and the precision that suits it.

precision.py chooses the precision for this machine's CPU without torch.
"""

from typing import Literal, get_args

import torch

from separator.errors import RequestError

Precision = Literal["fp32", "bf16", "auto"]


def choose_device(device: str | torch.device) -> torch.device:
    """Resolve `auto` and check that the device exists."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise RequestError(f"device={device!r}: must be auto, cpu, cuda or cuda:N") from None
    if chosen.type not in ("cpu", "cuda"):
        raise RequestError(f"device={device!r}: must be auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"device={device!r}: no CUDA device is visible; use device=cpu")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise RequestError(f"device={device!r}: there are {torch.cuda.device_count()} CUDA devices")
    return chosen


def choose_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """Resolve `auto`: bf16 if the device multiplies it natively, else fp32."""
    if precision == "fp32" or precision == "bf16":
        return precision
    if precision != "auto":
        raise RequestError(f"precision={precision!r}: must be one of {get_args(Precision)}")
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"
