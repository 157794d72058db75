"""Watch a pass while it is at work: what it waits for, and which devices are sick."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
import ray.exceptions

from separator.errors import DeviceFailed, SeparatorError
from separator.run.cluster import WAIT_AFTER_S
from separator.run.devices import DeviceHealth
from separator.run.gauges import RunMetrics
from separator.run.lister import get_listing
from separator.run.monitor import BugError, raise_bugs
from separator.run.placement import Requests, describe_lack
from separator.run.stats import RunStats

EVERY_S = 5.0
MANY_BUGS = 10  # end the pass, if they outnumber committed assets: every asset will meet one


class Watch:
    """A thread beside a pass, which asks the monitor and Ray now and then.

    If the pass cannot go on, the thread interrupts the main thread, which waits for rows.
    """

    def __init__(
        self,
        monitor: Any,
        stats: RunStats,
        requests: Requests,
        num_actors: int,
        on_look: Callable[[], None],
    ) -> None:
        """`on_look` is called while no rows come, and may raise what ends the pass."""
        self.monitor, self.stats, self.num_actors = monitor, stats, num_actors
        self.requests, self.on_look = requests, on_look
        self.metrics = RunMetrics(stats)
        self.row_at = time.monotonic()
        self.error: SeparatorError | BugError | OSError | None = None
        self.has_ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def note_row(self) -> None:
        self.row_at, self.stats.waiting = time.monotonic(), ""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.has_ended.set()
        try:
            self.thread.join()
            if kind is None:
                self._ask_health()
                self.metrics.update(self.stats)
        except KeyboardInterrupt:  # the watch's own interrupt, which arrived late
            if self.error is None:
                raise
        if self.error is not None and kind in (None, KeyboardInterrupt):
            raise self.error from None

    def _run(self) -> None:
        while not self.has_ended.wait(EVERY_S):
            try:
                self._look()
            except (SeparatorError, BugError, OSError) as error:  # OSError: nobody reads the output
                self.error = error
                main = threading.main_thread().ident
                assert main is not None
                signal.pthread_kill(main, signal.SIGINT)
                return
            except ray.exceptions.RayError:  # the monitor died with its node: so does the run
                return

    def _look(self) -> None:
        if not self.stats.assets_listed:
            self.stats.note_listing(get_listing(self.monitor))
        health = self._ask_health()
        if len(health.stopped) >= self.num_actors and not health.working:
            raise DeviceFailed(f"no device is left that works; the last failure: {health.last}")
        # One odd asset may meet a bug: then the others go on, and the bug is raised at the end.
        raise_bugs(self.monitor, max(MANY_BUGS, self.stats.assets + 1))
        if time.monotonic() - self.row_at >= WAIT_AFTER_S:
            self.stats.waiting = describe_wait(self.requests, ray.nodes(), health, self.num_actors)
            self.on_look()
        self.metrics.update(self.stats)

    def _ask_health(self) -> DeviceHealth:
        self.stats.devices = ray.get(self.monitor.get_health.remote())
        return self.stats.devices


def describe_wait(
    requests: Requests,
    nodes: Sequence[Mapping[str, Any]],
    health: DeviceHealth,
    num_actors: int,
) -> str:
    """Say what a run waits for; empty if it only is at work on something long.

    `nodes`: as Ray lists them.
    """
    lack = describe_lack(requests, nodes)
    if lack or health.working:
        return lack
    failed = f"; the last failure: {health.last}" if health.last else ""
    return f"waiting for the first of {num_actors} actors to start{failed}"
