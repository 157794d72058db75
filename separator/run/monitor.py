"""What all workers of a run share: one actor that they tell of, and where the weights lie."""

import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import ray


class FrontDesk:
    """Hears how many assets went in, and of every bug; and knows where the weights lie, once for
    every node."""

    def __init__(self, shared: list[ray.ObjectRef]) -> None:
        self.shared = shared
        self.counts = (0, 0, 0)
        self.bugs: list[str] = []

    def share(self) -> list[ray.ObjectRef]:
        return self.shared

    def set_counts(self, num_listed: int, num_twice: int, num_skipped: int) -> None:
        self.counts = (num_listed, num_twice, num_skipped)

    def complain(self, text: str) -> None:
        self.bugs.append(text)

    def get_counts(self) -> tuple[int, int, int]:
        return self.counts

    def get_bugs(self) -> list[str]:
        return self.bugs


class Told:
    """A stage whose bugs are told to the desk: with `max_errored_blocks` they would go unheard."""

    def __init__(self, desk: Any, stage: Callable[[Any], Iterator[Any]]) -> None:
        self.desk, self.stage = desk, stage

    def __call__(self, row: Any) -> Iterator[Any]:
        with _Telling(self.desk):
            yield from self.stage(row)


class _Telling:
    def __init__(self, desk: Any) -> None:
        self.desk = desk

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, Exception):
            ray.get(self.desk.complain.remote("".join(traceback.format_exception(error))))
