"""Guard the device of an actor: report an error that the device cannot survive, end the process.

Ray restarts an actor whose process has ended, here or on another machine, and gives it the same
spans. An actor that ends in any other way (`sys.exit`, an error in `__init__` of a second start)
never comes back, and the run would wait for it.
"""

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from threading import Lock
from types import TracebackType
from typing import Any

import ray

from separator.errors import DeviceFailed
from separator.model.sticky import is_sticky
from separator.rows import SpanRow
from separator.run.devices import GIVE_UP, PARK, START, TURN_AWAY

Stage = Callable[[Any], Iterator[Any]]

PAUSE_S = 1.0  # before a start that follows a failure
PARKED_S = 5.0  # between checks whether the run still exists


class DeviceGuard:
    """Stand between Ray and the stage of an actor."""

    def __init__(self, monitor: Any) -> None:
        """Wait here for the end of the run if the device is left out: an actor that has not started
        gets no spans."""
        self.monitor = monitor
        self.actor = str(ray.get_runtime_context().get_actor_id())
        gpus = ",".join(map(str, ray.get_gpu_ids()))
        self.device = f"{socket.gethostname()} {f'GPU {gpus}' if gpus else 'CPU'}"
        self.is_proven = False  # something has come out since the start
        self.in_hand: set[str] = set()  # names of spans in work; several on a GPU
        self.lock = Lock()
        answer = ray.get(monitor.come.remote(self.actor, self.device))
        if answer == TURN_AWAY:
            self._end_process()
        if answer == GIVE_UP:
            raise DeviceFailed(f"{self.device}: left out")
        while answer == PARK:
            time.sleep(PARKED_S)
            ray.get(monitor.get_bugs.remote())  # raises if the run has ended

    def make(self, make_stage: Callable[[], Stage]) -> Stage:
        """Make the stage, and guard it."""
        with _Guarded(self, START):
            stage = make_stage()
        ray.get(self.monitor.start.remote(self.actor))

        def run(row: Any) -> Iterator[Any]:
            with _Guarded(self, name_work(row)):
                yield from stage(row)
            if not self.is_proven and isinstance(row, SpanRow):
                self.is_proven = True
                ray.get(self.monitor.succeed.remote(self.device))

        return run

    def fail(self, error: BaseException) -> None:
        """Report all spans in work as failed, once, and end the process; other threads wait here
        until then."""
        with self.lock:
            traceback.print_exception(error)  # into Ray's logs of this machine
            detail = f"{type(error).__name__}: {error}".splitlines()[0]
            works = list(self.in_hand)
            ray.get(self.monitor.fail.remote(self.actor, self.device, works, detail))
            self._end_process()

    def _end_process(self) -> None:
        sys.stderr.flush()
        time.sleep(PAUSE_S)
        os._exit(1)


class _Guarded:
    """End the process on errors that affect all of it; GeneratorExit is not one."""

    def __init__(self, guard: DeviceGuard, work: str) -> None:
        self.guard, self.work = guard, work

    def __enter__(self) -> None:
        self.guard.in_hand.add(self.work)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        is_fatal = self.work == START or isinstance(error, SystemExit) or is_sticky(error)
        if error is not None and not isinstance(error, GeneratorExit) and is_fatal:
            self.guard.fail(error)
        self.guard.in_hand.discard(self.work)


def name_work(row: Any) -> str:
    """Name a span, so that failures of two devices on the same span can be recognised."""
    if not isinstance(row, SpanRow):
        return type(row).__name__
    return f"{row.asset.uri} {row.track.index} {row.number}"
