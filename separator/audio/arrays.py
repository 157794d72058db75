"""Convert the arrays and rates of a caller to tensors and integers, or raise with a reason. Pure.

Byte order, strides, long doubles and integral rates of any type are converted, because this needs
no guess. Nothing is guessed: integers have no known full scale, complex values no known meaning.
"""

from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separator.errors import RequestError

# The kinds of numpy's dtypes that torch has too: floats, integers, complex values, booleans.
NUMBERS = "fiucb"
LONG = {"g": np.float64, "G": np.complex128}  # long doubles, which torch does not have


def as_tensor(values: Any, what: str) -> Tensor:
    """Convert an array to a tensor; `what` names the argument in the error."""
    if isinstance(values, Tensor):
        if not is_dense(values):
            raise RequestError(f"{what} is sparse, nested, quantized or on meta: make it dense")
        return values.detach()
    if not isinstance(values, np.ndarray):
        raise RequestError(
            f"{what} is a {type(values).__name__}: a numpy array or a tensor is needed; "
            "make one of numbers by np.asarray(..., np.float32)"
        )
    if values.dtype.kind not in NUMBERS:
        raise RequestError(f"{what} is an array of {values.dtype}: an array of numbers is needed")
    if np.ma.is_masked(values):
        raise RequestError(f"{what} has masked values: fill them first, by {what}.filled(0)")
    dtype = values.dtype.newbyteorder("=")
    if values.dtype.char in LONG:
        dtype = LONG[values.dtype.char]
    # torch takes no negative strides, and warns of arrays that cannot be written.
    with np.errstate(over="ignore"):  # too large values become infinite, which is refused later
        return torch.from_numpy(np.require(values, dtype, ["C", "W"]))


def is_dense(tensor: Tensor) -> bool:
    """Tell whether a tensor has one value, in memory, for each of its elements."""
    is_other = tensor.is_nested or tensor.is_quantized or tensor.is_meta
    return tensor.layout == torch.strided and not is_other


def as_rate(rate_hz: Any) -> Any:
    """Convert a whole number of any type to int; return other values as they are, for checks."""
    if isinstance(rate_hz, Tensor | np.ndarray) and rate_hz.ndim == 0:
        rate_hz = rate_hz.item()
    if isinstance(rate_hz, Real) and not isinstance(rate_hz, bool):
        number = float(rate_hz)
        return int(number) if number.is_integer() else rate_hz
    return rate_hz
