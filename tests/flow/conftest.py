"""The library and the finished output that the tests of the flow share."""

from tests.helpers.library import finished, library

__all__ = ["finished", "library"]
