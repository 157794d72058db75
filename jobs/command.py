"""What the commands share: how those with a config are called, and how all of them end."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from separator.errors import SeparatorError

Options = TypeVar("Options")


def parse_config_arguments(
    prog: str, about: str | None, argv: list[str] | None
) -> argparse.Namespace:
    """`config` and `overrides`; `about` is shown line by line as it stands."""
    lines = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(prog=prog, description=about, formatter_class=lines)
    parser.add_argument("config", metavar="CONFIG.yaml", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_args(argv)


def join_ray() -> None:
    """The Ray that there is already, or the cluster of RAY_ADDRESS, or one of this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "local")
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def run_command(name: str, action: Callable[[Options], object], options: Options) -> int:
    """The exit code: 0, or 2 after one line on what was wrong with the request."""
    try:
        action(options)
    except (SeparatorError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0
