"""Errors after which a process cannot use its device any more."""

import pytest
import torch

from separator.model.sticky import is_sticky

ASSERT = "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`"


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.AcceleratorError(ASSERT), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("illegal memory access"), False),
    ],
)
def test_is_sticky_tells_a_lost_device_from_other_errors(error, wanted):
    assert is_sticky(error) == wanted
