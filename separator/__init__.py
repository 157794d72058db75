"""Pull one named sound out of a recording: `load_model(...).separate(waveform, rate_hz, queries)`.

Names are resolved on first use, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from separator.api import Detector, Separator, load_detector, load_model

__all__ = ["Detector", "Separator", "load_detector", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'separator' has no attribute {name!r}")
    from separator import api

    return getattr(api, name)
