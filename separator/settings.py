"""Settings from a YAML file and `dotted.key=value` overrides, checked against a dataclass."""

from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from separator.errors import RequestError

Settings = TypeVar("Settings")


def read_settings(kind: type[Settings], path: Path, overrides: list[str]) -> Settings:
    """A YAML file with overrides as a dataclass; anything unknown, missing or wrong is one line."""
    try:
        merged: Any = OmegaConf.merge(
            OmegaConf.structured(kind), OmegaConf.load(path), OmegaConf.from_dotlist(overrides)
        )
        if missing := sorted(OmegaConf.missing_keys(merged)):
            raise RequestError(f"{path}: {missing[0]} is not set")
        return OmegaConf.to_object(merged)  # pyright: ignore[reportReturnType]
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}") from None
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise RequestError(f"{path}: {key}{str(error).splitlines()[0]}") from None
