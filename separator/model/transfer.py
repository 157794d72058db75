"""Move samples between the memory of the machine and a device, at the full speed of a GPU's bus."""

import torch
from torch import Tensor


def to_device(samples: Tensor, device: torch.device) -> Tensor:
    """Copy to the device; a GPU goes on with its work meanwhile."""
    if device.type == "cuda":
        return samples.pin_memory().to(device, non_blocking=True)
    return samples.to(device)


def to_host(samples: Tensor) -> Tensor:
    """Copy from the device; only this thread waits."""
    if samples.device.type != "cuda":
        return samples
    host = torch.empty(samples.shape, dtype=samples.dtype, pin_memory=True)
    host.copy_(samples, non_blocking=True)
    torch.cuda.current_stream(samples.device).synchronize()
    return host
