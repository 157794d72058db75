"""Collect errors, bugs, listing counts and the health of devices from all workers in one actor.

With `max_errored_blocks` Ray Data drops the block of a failing task silently: without a report, a
bug in a stage would look like assets that are missing.
"""

import traceback
from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import Any

import ray

from separator.rows import from_ray, to_ray
from separator.run.devices import DeviceHealth
from separator.run.stats import ListingCounts


class Monitor:
    """The actor: workers report to it, the driver asks it."""

    def __init__(self, shared: list[ray.ObjectRef], health: DeviceHealth) -> None:
        """`shared`: references to weights and conditions in the object store, which keeps one copy
        on every node; `health`: of the devices, as earlier passes left it."""
        self.shared = shared
        self.health = health
        health.begin_pass()
        self.counts: ListingCounts | None = None
        self.met_bugs: set[str] = set()  # URIs of assets
        self.first_bug = ""
        self.errors: list[tuple[str, str]] = []  # code and text of errors that end the run

    def get_shared(self) -> list[ray.ObjectRef]:
        return self.shared

    def come(self, actor: str, device: str) -> str:
        return self.health.come(actor, device)

    def start(self, actor: str) -> None:
        self.health.start(actor)

    def succeed(self, device: str) -> None:
        self.health.succeed(device)

    def fail(self, actor: str, device: str, works: Collection[str], detail: str) -> None:
        self.health.fail(actor, device, works, detail)

    def get_health(self) -> DeviceHealth:
        return self.health

    def report_listing(self, counts: ListingCounts) -> None:
        self.counts = counts

    def get_listing(self) -> ListingCounts | None:
        return self.counts

    def report_error(self, code: str, text: str) -> None:
        self.errors.append((code, text))

    def get_errors(self) -> list[tuple[str, str]]:
        return self.errors

    def report_bug(self, asset: str, text: str) -> None:
        self.met_bugs.add(asset)
        self.first_bug = self.first_bug or text

    def get_bugs(self) -> tuple[int, str]:
        """Return the number of assets that met a bug, and the traceback of the first."""
        return len(self.met_bugs), self.first_bug


class BugError(RuntimeError):
    """A stage raised an error that is no failure of an asset."""


def raise_bugs(monitor: Any, least: int = 1) -> None:
    """Raise BugError if at least `least` assets met a bug."""
    number, first = ray.get(monitor.get_bugs.remote())
    if number >= least:
        raise BugError(f"{number} assets met a bug; the first of them:\n{first}")


class MonitoredStage:
    """Run a stage of the flow in Ray Data: convert rows from and to tables, and report bugs."""

    def __init__(
        self, monitor: Any, stage: Callable[[Any], Iterator[Any]], with_samples: bool = False
    ) -> None:
        """`with_samples`: the rows of this stage may hold arrays."""
        self.monitor, self.stage, self.with_samples = monitor, stage, with_samples

    def __call__(self, ray_row: Any) -> Iterator[dict[str, Any]]:
        given = from_ray(ray_row)
        asset = getattr(given, "asset", given)  # a batch of assets is named by no URI
        with _ReportedBugs(self.monitor, getattr(asset, "uri", "")):
            for row in self.stage(given):
                yield to_ray(row, self.with_samples)


class _ReportedBugs:
    """Report every error that passes through, except GeneratorExit and other exits."""

    def __init__(self, monitor: Any, asset: str) -> None:
        self.monitor, self.asset = monitor, asset

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, Exception):
            text = "".join(traceback.format_exception(error))
            ray.get(self.monitor.report_bug.remote(self.asset, text))
