"""Move samples between the memory of the machine and a device, at the full speed of a GPU's bus."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def to_device(samples: Tensor, device: torch.device) -> Tensor:
    """Copy samples to the device; a GPU goes on with its work meanwhile."""
    if device.type == "cuda":
        return samples.pin_memory().to(device, non_blocking=True)
    return samples.to(device)


def fetch_results(results: Iterable[Tensor]) -> Iterator[Tensor]:
    """Copy results from the device and yield them in order. While one is copied from a GPU, the
    next one is computed."""
    before: _Copy | None = None
    for result in results:
        if result.device.type != "cuda":
            yield result
            continue
        copy = _Copy(result)
        if before is not None:
            yield before.wait()
        before = copy
    if before is not None:
        yield before.wait()


class _Copy:
    """A copy from a GPU, under way until `wait` returns it."""

    def __init__(self, result: Tensor) -> None:
        self.host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
        self.host.copy_(result, non_blocking=True)
        self.event = torch.cuda.current_stream(result.device).record_event()

    def wait(self) -> Tensor:
        """Wait for the copy, in this thread alone, and return it."""
        self.event.synchronize()
        return self.host
