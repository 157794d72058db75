"""One run at a time on an output, or one of each shard. Knows storage, not what a run does.

A run's record below runs/ is its claim. It is written as `starting`; then those of all others are
looked at; only then it says `running`, and is renewed until the run ends. So of two that start at
once at least one sees the other, on any store that shows what was written before: none has to
refuse a write for it. Whoever was silent for so long that others may have gone on begins again.
"""

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from separator.errors import LockLost, ObjectMissing, OutputTaken, StorageError
from separator.results.paths import Layout
from separator.storage import Storage

log = logging.getLogger(__name__)

BEAT_S = 10.0
SILENT_S = 60.0  # a run that has said nothing for so long is dead
LOOK_EVERY_S = 0.5
STARTING, RUNNING, STOPPED, FINISHED = "starting", "running", "stopped", "finished"


class Claim:
    """Take it, check it now and then, end it."""

    def __init__(
        self,
        storage: Storage,
        layout: Layout,
        run_id: str,
        shard: str,
        describe: Callable[[], dict[str, Any]],
        beat_s: float = BEAT_S,
        silent_s: float = SILENT_S,
        process: str = "",
    ) -> None:
        """`shard`: i/n, or empty for the whole output. `describe`: the rest of the run's record.
        `process`: the one that holds it, if not this one."""
        self.storage, self.layout, self.run_id = storage, layout, run_id
        self.shard, self.describe = shard, describe
        self.beat_s, self.silent_s = beat_s, silent_s
        self._uri = layout.run(run_id)
        self._process = process or identify_process(os.getpid())
        self._is_wide = False  # a shard's claim of the whole output
        self._state, self._written_at = STARTING, time.monotonic()
        self._silence_s = 0.0  # the longest since it last said `starting`
        self._lost: OutputTaken | None = None
        self._met = ""  # the record that was in the way
        self._ended = threading.Event()
        self._lock = threading.Lock()  # of what is written
        self._settling = threading.RLock()  # of who looks at others
        self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)

    def take(self) -> None:
        """OutputTaken, and nothing left behind, where another run is at work."""
        try:
            self._settle()
        except BaseException:
            with contextlib.suppress(StorageError):
                self.storage.delete(self._uri)
            raise
        self._thread.start()

    def check(self) -> None:
        if self._lost is not None:
            raise LockLost(f"stopped, since it was taken for dead: {self._lost}")

    def widen(self) -> bool:
        """From a shard to the whole output, if no other shard is at work. Else this one has
        finished: the last one will do what is left to do."""
        with self._settling:
            self.check()
            if not self.shard:
                self._settle_if_late()
                return True
            self._is_wide = True
            while True:
                try:
                    self._settle()
                    return True
                except OutputTaken:
                    self._write(FINISHED)
                    # It may have left it to this one, before it could read the line above.
                    if self._is_left_to_met():
                        self._is_wide = False
                        return False

    def _settle_if_late(self) -> None:
        """LockLost where others have gone on, and the renewing thread has not yet seen it."""
        silence_s = time.monotonic() - self._written_at
        if self._is_in_doubt() or silence_s > self.silent_s:
            try:
                self._settle()
            except OutputTaken as error:
                self._lost = error
                self.check()

    def end(self, state: str) -> None:
        self._stop_renewing()
        self._write(state)

    def withdraw(self) -> None:
        """As if it had never been there."""
        self._stop_renewing()
        self.storage.delete(self._uri)

    def _stop_renewing(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _settle(self) -> None:
        """To `running`, once nobody else can be."""
        while True:
            self._write(STARTING)
            self._silence_s = 0.0
            self._wait_for_others()
            self._write(RUNNING)
            if self._silence_s <= self.silent_s:
                return

    def _wait_for_others(self) -> None:
        """OutputTaken where one of them goes on."""
        now = self.storage.stat(self._uri).modified_at  # by the clock of the store
        first = self._read_all(self._find_fresh(now))
        deadline = time.monotonic() + self.silent_s
        others = first
        while others := {uri: o for uri, o in others.items() if self._is_in_the_way(o)}:
            for uri, other in others.items():
                if self._goes_on(other, first[uri]):
                    raise self._refuse(uri, other)
            if time.monotonic() > deadline and all(o == first[uri] for uri, o in others.items()):
                return  # none of them has said anything
            time.sleep(LOOK_EVERY_S)
            if time.monotonic() - self._written_at > self.beat_s:
                self._write()
            others = self._read_all(others)

    def _is_in_the_way(self, other: dict[str, Any]) -> bool:
        scope = "" if self._is_wide else self.shard
        at_work = other["state"] in (STARTING, RUNNING) and overlap(scope, other["shard"])
        return at_work and is_alive(other["process"], self._process) is not False

    def _goes_on(self, other: dict[str, Any], before: dict[str, Any]) -> bool:
        """Whether one in the way stays there, without a doubt. `before`: as it was first read."""
        if other["state"] == RUNNING:
            return bool(is_alive(other["process"], self._process)) or other != before
        is_wide = bool(other.get("own_shard")) and not other["shard"]
        if is_wide != self._is_wide:
            return self._is_wide  # a shard that has done its own lets start who starts
        return other["run_id"] < self.run_id  # else it sees this one, and goes

    def _is_left_to_met(self) -> bool:
        """Whether what was in the way still is, when it has made up its mind."""
        deadline = time.monotonic() + self.silent_s
        while others := self._read_all([self._met]):
            other = others[self._met]
            if not self._is_in_the_way(other) or time.monotonic() > deadline:
                return False
            if other["state"] == RUNNING:
                return True
            time.sleep(LOOK_EVERY_S)
        return False

    def _refuse(self, uri: str, other: dict[str, Any]) -> OutputTaken:
        self._met = uri
        scope = f"shard {other['shard']}" if other["shard"] else "all of it"
        return OutputTaken(
            f"{self.layout.root_uri}: run {other['run_id']} is at work on {scope}, heard of at"
            f" {other['written_at']}; wait for its end, or stop it"
        )

    def _find_fresh(self, now: datetime) -> list[str]:
        """Other records, written not long ago."""
        since = now - timedelta(seconds=self.silent_s)
        entries = self.storage.list(self.layout.runs(), ["*.json"])
        return [e.uri for e in entries if e.modified_at >= since and e.uri != self._uri]

    def _read_all(self, uris: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Those that are still there."""
        found = {}
        for uri in uris:
            with contextlib.suppress(ObjectMissing):
                found[uri] = json.loads(self.storage.read(uri))
        return found

    def _renew(self) -> None:
        while not self._ended.wait(self.beat_s):
            try:
                self._write()
                if self._is_in_doubt():
                    with self._settling:
                        if self._is_in_doubt():
                            self._settle()
            except OutputTaken as error:
                self._lost = error
                with contextlib.suppress(StorageError):
                    self._write(STOPPED)
                return
            except StorageError as error:
                log.warning("the run's record was not renewed: %s", error)

    def _is_in_doubt(self) -> bool:
        """Whether others may have gone on without this one, or it was not told all of them."""
        return self._state == STARTING or (
            self._state == RUNNING and self._silence_s > self.silent_s
        )

    def _write(self, state: str = "") -> None:
        """`state`: the same as before, if not given."""
        with self._lock:
            self._state = state or self._state
            is_wide = self._is_wide and self._state in (STARTING, RUNNING)
            content = {
                "run_id": self.run_id,
                "state": self._state,
                "shard": "" if is_wide else self.shard,
                "own_shard": self.shard,
                "process": self._process,
                "written_at": datetime.now(UTC).isoformat(timespec="microseconds"),
            } | self.describe()
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            started = time.monotonic()
            self.storage.write(self._uri, text.encode("utf-8", "surrogateescape"))
            # What others saw until now was the record before.
            self._silence_s = max(self._silence_s, time.monotonic() - self._written_at)
            self._written_at = started


def overlap(one: str, other: str) -> bool:
    """Whether two shards have assets in common; empty: the whole library."""
    return not one or not other or one == other or one.split("/")[1] != other.split("/")[1]


def identify_process(pid: int) -> str:
    """`machine and process namespace / pid / when it was started`; empty where there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = Path("/proc/self/ns/pid").readlink()
        # Behind the name, which may hold anything: state first, start in ticks as the 20th.
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if told[0] in "ZX" else f"{boot}:{space}/{pid}/{told[19]}"


def is_alive(process: str, here: str) -> bool | None:
    """Of a process of this machine; None of any other."""
    machine, _, rest = process.partition("/")
    if not rest or machine != here.partition("/")[0]:
        return None
    return identify_process(int(rest.partition("/")[0])) == process
