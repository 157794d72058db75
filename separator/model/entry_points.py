"""Find separators that other packages provide, without torch: a run may have nothing to do.

A package declares an entry point in the group `separator.models`. The name of the entry point is
the model's name, and its value is an object like `Package`.

Shapes: C channels, T samples, Q queries, D condition.
"""

import hashlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol

from separator.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    import torch

GROUP = "separator.models"
PACKAGE_PREFIX = "package:"  # begins the id of such a model's text encoder


class OutsideModel(Protocol):
    """A loaded model of another package."""

    rate_hz: int  # of the samples that it takes and gives
    condition_size: int
    grid_s: float  # its windows start on multiples of this
    context_s: float  # the sound that a window needs on either side
    is_exact: bool  # windows on the grid, with context, equal one pass over the track

    def encode_texts(self, texts: list[str]) -> "np.ndarray":
        """Return conditions (Q, D) of texts, float32."""
        ...

    def separate(self, waveform_CT: "torch.Tensor", condition_D: "torch.Tensor") -> "torch.Tensor":
        """Return a stem (C, T) of samples at `rate_hz`, of any number of channels."""
        ...


class Package(Protocol):
    """The object that an entry point names."""

    identity: str  # changes with everything that changes a stem: weights, version of the code

    def load(self, device: "torch.device", precision: str) -> OutsideModel:
        """Load the model; `precision` is fp32 or bf16."""
        ...


def hash_package(name: str, package: Package) -> str:
    """Return the identity of a package's model; for our models it is the hash of the weights."""
    return hashlib.sha256(f"{name}\0{package.identity}".encode()).hexdigest()


def list_outside() -> list[str]:
    """List the names of the models that installed packages provide."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def find_package(name: str) -> Package | None:
    """Find the package that provides a model of this name."""
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if len({point.value for point in points}) > 1:
        values = ", ".join(sorted(point.value for point in points))
        raise RequestError(f"model {name!r}: several packages bring one of this name: {values}")
    return _load(points[0]) if points else None


@cache
def _load(point: EntryPoint) -> Any:
    try:
        package = point.load()
    except (ImportError, AttributeError) as error:
        raise RequestError(f"model {point.name!r}: {point.value}: {error}") from None
    if not isinstance(getattr(package, "identity", None), str) or not hasattr(package, "load"):
        raise RequestError(
            f"model {point.name!r}: {point.value} has no identity (a text) or no load(): "
            "docs/models.md says what a package must bring"
        )
    return package
