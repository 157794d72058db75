"""The library and the finished output that the commands are tried on."""

from tests.helpers.library import finished, library

__all__ = ["finished", "library"]
