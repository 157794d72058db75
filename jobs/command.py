"""What every command shares: how it ends."""

import sys
from collections.abc import Callable
from typing import TypeVar

from separator.errors import SeparatorError

Options = TypeVar("Options")


def run_command(name: str, action: Callable[[Options], object], options: Options) -> int:
    """The exit code: 0, or 2 after one line on what was wrong with the request."""
    try:
        action(options)
    except (SeparatorError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0
