"""Share one small JSON object among processes of several machines; no change to it is lost.

A change reads the object, decides, and writes on the condition that nobody wrote in between.
Without conditional writes (`storage.conditional_writes=false`) the object is read again after a
pause: two processes that write one after the other within that pause may both go on.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from separator.errors import (
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    OutputDamaged,
    StorageBusy,
    StorageError,
)
from separator.storage.storage import Storage

log = logging.getLogger(__name__)

# A store may report conflicts for as long as another writer is slow: tries alone are no limit.
MAX_CONFLICTS, PATIENCE_S = 100, 10.0

Content = dict[str, Any]


class SharedObject:
    """One shared object. `key`: this writer's own entry; every change must give it a new value."""

    def __init__(self, storage: Storage, uri: str, key: str, pause_s: float) -> None:
        self.storage, self.uri, self.key, self.pause_s = storage, uri, key, pause_s
        self._mutex = threading.Lock()  # one change at a time in this process
        self.is_conditional = storage.settings.conditional_writes

    def change(self, decide: Callable[[Content, float], Content | None]) -> Content:
        """Write what `decide` returns; ask it again after a conflict, or while it returns None.

        `decide` gets the content (empty if there is no object) and when the read began.
        """
        conflicts, began_at = 0, time.monotonic()
        while conflicts < MAX_CONFLICTS or time.monotonic() - began_at < PATIENCE_S:
            with self._mutex:
                asked_at = time.monotonic()
                content, version = self._read()
                decision = decide(content, asked_at)
                if decision is not None:
                    if decision == content or self._write(decision, version):
                        return decision
                    conflicts += 1
            time.sleep(self.pause_s * random.uniform(0.5, 1.5))
        raise StorageBusy(f"{self.uri}: others were writing it at each of {conflicts} tries")

    def check_store(self) -> None:
        """Send a write that must be refused: a store that accepts it would lose changes."""
        if not self.is_conditional:
            log.warning("storage.conditional_writes=false: runs that start at once may collide")
            return
        try:
            # The same content in other bytes: no harm if the store accepts it.
            self.storage.replace(self.uri, _dump(self._read()[0]) + b" ", "0" * 32)
        except ObjectChanged:
            return
        raise StorageError(
            f"{self.uri}: this store ignores conditional writes, so two runs could work on one"
            " output; set storage.conditional_writes=false"
        )

    def _read(self) -> tuple[Content, str]:
        try:
            data, version = self.storage.read_versioned(self.uri)
        except ObjectMissing:
            return {}, ""
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise OutputDamaged(
                f"{self.uri}: holds no JSON object; delete it if no program is at work on it"
            )
        return content, version

    def _write(self, content: Content, version: str) -> bool:
        try:
            if version:
                self.storage.replace(self.uri, _dump(content), version)
            else:
                self.storage.write(self.uri, _dump(content), if_absent=True)
        except (ObjectChanged, ObjectExists):
            return False
        if self.is_conditional:
            return True
        time.sleep(2 * self.pause_s)
        return self._read()[0].get(self.key) == content.get(self.key)


def _dump(content: Content) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"
