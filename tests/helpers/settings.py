"""List the numbers of a settings class, and values that no sensible person gives them."""

from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from typing import Any, get_type_hints

import pytest

from separator.errors import RequestError

NUMBERS = (int, float, int | None, float | None)
ODD_NUMBERS = (".nan", ".inf", "-.inf", "-1", "0", "1e300", "1e-300", "9" * 30, "true", "''")


def list_keys(kind: type, prefix: str = "") -> dict[str, Any]:
    """Map every dotted key of a settings class to its type."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint) and isinstance(hint, type):
            found |= list_keys(hint, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = hint
    return found


def list_numbers(kind: type) -> list[str]:
    """List the keys whose value is a number, also the optional ones."""
    return [key for key, hint in list_keys(kind).items() if hint in NUMBERS]


def try_odd_numbers(key: str, sensible: Collection[str], read: Callable[[str], object]) -> None:
    """Call `read` with each odd number: the sensible ones work, others are refused by name."""
    for odd in ODD_NUMBERS:
        if odd in sensible:
            read(odd)
            continue
        with pytest.raises(RequestError) as caught:
            read(odd)
        said = str(caught.value)
        assert key.rpartition(".")[2] in said and "\n" not in said, (odd, said)
