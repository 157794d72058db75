"""Allow one run at a time on an output, or one run per shard.

The lock is one shared object that lists the runs at work. All changes of it happen one after the
other, so two runs that overlap are never both let in.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from separator.errors import LockLost, OutputTaken, StorageError
from separator.run.holders import (
    Holder,
    Holders,
    HolderWatch,
    Verdicts,
    find_live,
    overlap,
    read_holders,
)
from separator.run.process import identify_process
from separator.storage import Storage, parse_uri
from separator.storage.shared import SharedObject

log = logging.getLogger(__name__)

HEARTBEAT_S, STALE_S = 10.0, 60.0
# This clock goes on while the machine sleeps.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class RunLock:
    """Acquire, check now and then, release. `on_heartbeat` is called after each heartbeat."""

    def __init__(
        self, storage: Storage, uri: str, run_id: str, shard: str, on_heartbeat: Callable[[], None],
        heartbeat_s: float = HEARTBEAT_S, stale_s: float = STALE_S, process: str = "",
    ) -> None:  # fmt: skip
        """`shard`: i/n, or empty for the whole output. `process`: another than this, for tests."""
        self.storage, self.uri, self.run_id = storage, uri, run_id
        self.heartbeat_s, self.stale_s, self.on_heartbeat = heartbeat_s, stale_s, on_heartbeat
        self._own = Holder(shard, process or identify_process())
        self._shared = SharedObject(storage, uri, run_id, heartbeat_s / 20)
        self._watch = HolderWatch(self._own.process, stale_s, 2 * heartbeat_s, self._get_age_s)
        self._lost = "its heartbeat has ended"
        self._renewed_at = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def acquire(self) -> None:
        """Take the lock, or raise OutputTaken if a live run overlaps. A run on another machine is
        watched first, to find out whether it is alive."""
        self._shared.check_store()
        self._change(self._enter)
        self._renewed_at = time.clock_gettime(CLOCK)
        self._thread.start()

    def list_earlier(self) -> list[str]:
        """List the runs that hold a share of the output and took it before this one."""
        run_ids = list(self._change(lambda holders, _: holders))
        if self.run_id not in run_ids:
            raise LockLost(f"run {self.run_id} stops: its heartbeat expired")
        return run_ids[: run_ids.index(self.run_id)]

    def check(self) -> None:
        """Raise LockLost if another run took the lock over."""
        if not self._thread.is_alive():
            raise LockLost(f"run {self.run_id} stops: {self._lost}")
        # After the process or the machine was stopped, this thread may go on before the heartbeat.
        if time.clock_gettime(CLOCK) - self._renewed_at > self.stale_s / 2:
            try:
                self._renew_now()
            except LockLost as error:
                raise LockLost(f"run {self.run_id} stops: {error}") from None
            except StorageError as error:
                log.warning("the heartbeat failed: %s", error)

    def try_alone(self) -> bool:
        """Hold the whole output if no other run is alive; else give this run's share back.

        One write decides, so if several shards end at the same moment, exactly one is the last.
        """
        return self.run_id in self._change(self._leave_or_own)

    def release(self) -> None:
        """Take this run off the list; if storage is unreachable, its entry stays until stale."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._change(lambda holders, _: self._list_others(holders))
        except StorageError as error:
            log.warning("the lock was not released: %s", error)

    def _beat(self) -> None:
        while not self._ended.wait(self.heartbeat_s):
            try:
                self._renew_now()
                self.on_heartbeat()
            except LockLost as error:
                self._lost = str(error)
                return
            except StorageError as error:
                log.warning("the heartbeat failed, next in %g s: %s", self.heartbeat_s, error)

    def _renew_now(self) -> None:
        began_at = time.clock_gettime(CLOCK)
        self._change(self._renew)
        self._renewed_at = began_at

    def _enter(self, holders: Holders, verdicts: Verdicts) -> Holders | None:
        others = self._list_others(holders)
        live = find_live(others, verdicts, self._own.shard)
        for run_id, holder in (live or {}).items():
            scope = f"shard {holder.shard}" if holder.shard else "all of it"
            root_uri = self.uri.rpartition("/")[0]
            raise OutputTaken(f"{root_uri}: run {run_id} is at work on {scope}; wait for its end")
        apart = {r: h for r, h in others.items() if not overlap(self._own.shard, h.shard)}
        return None if live is None else apart | {self.run_id: self._own}

    def _renew(self, holders: Holders, _: Verdicts) -> Holders:
        if (own := holders.get(self.run_id)) is None:
            raise LockLost(f"its heartbeat expired; at work now: {', '.join(holders) or 'no run'}")
        return holders | {self.run_id: replace(own, heartbeat=own.heartbeat + 1)}

    def _leave_or_own(self, holders: Holders, verdicts: Verdicts) -> Holders | None:
        own = self._renew(holders, verdicts)[self.run_id]
        others = self._list_others(holders)
        live = find_live(others, verdicts, "")
        if live is None:
            return None
        return others if live else {self.run_id: replace(own, shard="")}

    def _list_others(self, holders: Holders) -> Holders:
        return {run_id: holder for run_id, holder in holders.items() if run_id != self.run_id}

    def _change(self, decide: Callable[[Holders, Verdicts], Holders | None]) -> Holders:
        def decide_content(content: dict[str, Any], asked_at: float) -> dict[str, Any] | None:
            holders = read_holders(content, self.uri)
            decision = decide(holders, self._watch.judge(holders, asked_at))
            return None if decision is None else {r: asdict(h) for r, h in decision.items()}

        return read_holders(self._shared.change(decide_content), self.uri)

    def _get_age_s(self) -> float:
        return (self._tell_time() - self.storage.stat(self.uri).modified_at).total_seconds()

    def _tell_time(self) -> datetime:
        """Tell the time by the clock that dates files in a shared folder. For S3 this machine's
        clock will do, because S3 refuses requests of clocks that are wrong."""
        if parse_uri(self.uri).bucket:
            return datetime.now(UTC)
        probe_uri = f"{self.uri}.{self.run_id}"
        self.storage.write(probe_uri, b"")
        try:
            return self.storage.stat(probe_uri).modified_at
        finally:
            self.storage.delete(probe_uri)
