"""Assets made official: the commit file, then the manifest. The driver does it, several at once."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from separator.results.manifest import ManifestWriter
from separator.results.paths import Layout
from separator.results.record import list_uris, merge_records, pack_record, read_record
from separator.results.schema import Record
from separator.rows import AssetRow
from separator.storage import Storage

COMMITTERS = 8
MOST_WAITING = 64


class Committer:
    """`with` waits for all commits; an error of one is raised where the next is asked for."""

    def __init__(
        self,
        storage: Storage,
        layout: Layout,
        writer: ManifestWriter,
        see: Callable[[Sequence[Record]], None],
    ) -> None:
        self.storage, self.layout, self.writer, self.see = storage, layout, writer, see
        self.requests: set[str] = set()
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

    def commit(
        self, asset: AssetRow, records: list[Record], is_new: bool, orphans: Sequence[str] = ()
    ) -> None:
        """`is_new` is false for what an earlier run committed and could not put in its manifest.
        `orphans`: what was written, but no record names."""
        while self._waiting and (len(self._waiting) >= MOST_WAITING or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._commit, asset, records, is_new, orphans))

    def _commit(
        self, asset: AssetRow, records: list[Record], is_new: bool, orphans: Sequence[str]
    ) -> None:
        if is_new:
            path = asset["asset_path"]
            uri = self.layout.record(path)
            rows, stale = merge_records(read_record(self.storage, uri), records)
            # From here on the asset is done, whoever dies. What is cleared below is spoken of by
            # nothing any more; the next run of this asset would clear it too.
            self.storage.write(uri, pack_record(rows))
            for stem_uri in {*stale, *orphans} - set(list_uris(rows)):
                self.storage.delete(stem_uri)
            self.storage.clear(self.layout.parts(path))
        with self._lock:
            self.requests |= {record["request"] for record in records}
            self.writer.add(records)
            self.see(records)
