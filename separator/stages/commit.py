"""Commit assets from the driver, several at once: the commit file first, then manifest rows."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from separator.results.manifest import ManifestWriter
from separator.results.paths import Layout
from separator.results.record import list_uris, merge_records, pack_record, read_record
from separator.results.schema import Record
from separator.stages.collect import Commit
from separator.storage import Storage

COMMITTERS = 8
MAX_WAITING = 64


class Committer:
    """A context that waits for all commits; an error of one is raised by the next `commit`."""

    def __init__(
        self,
        storage: Storage,
        layout: Layout,
        writer: ManifestWriter,
        on_commit: Callable[[Sequence[Record]], None],
    ) -> None:
        self.storage, self.layout, self.writer = storage, layout, writer
        self.on_commit = on_commit
        self.done_ids: set[str] = set()  # of work items
        self._pool = ThreadPoolExecutor(COMMITTERS)
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> "Committer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        self.writer.flush()
        if kind is None:
            for job in self._waiting:
                job.result()

    def commit(self, order: Commit) -> None:
        while self._waiting and (len(self._waiting) >= MAX_WAITING or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._commit, order))

    def _commit(self, order: Commit) -> None:
        if order.is_new:
            path = order.asset.path
            uri = self.layout.record(path)
            rows, replaced_uris = merge_records(read_record(self.storage, uri), order.records)
            # From here on the asset is done, even if this process dies.
            self.storage.write(uri, pack_record(rows))
            for stem_uri in {*replaced_uris, *order.orphan_uris} - set(list_uris(rows)):
                self.storage.delete(stem_uri)
        # Also of an earlier run that died between its record and this line.
        self.storage.clear(self.layout.parts(order.asset.path))
        with self._lock:
            self.done_ids |= {record["request"] for record in order.records}
            self.writer.add(order.records)
            self.on_commit(order.records)
