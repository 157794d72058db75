"""Commit assets from the driver, several at once: the commit file first, then manifest rows."""

import logging
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from separator.errors import StorageError
from separator.results.commit_file import (
    CommitFile,
    clear_residuals,
    keep_finished,
    list_uris,
    merge_records,
    pack_commit_file,
)
from separator.results.folders import find_folder
from separator.results.latest import hash_ids
from separator.results.manifest import ManifestWriter
from separator.results.paths import Layout, is_told_apart
from separator.results.schema import Record
from separator.results.withdrawn import name_mark, unmark
from separator.rows import Asset
from separator.stages.collect import Commit, Discard
from separator.storage import Storage, parse_uri

log = logging.getLogger(__name__)

COMMITTERS = 8
MAX_WAITING = 64


class Committer:
    """A context that waits for all commits; an error in one is raised by a later call."""

    def __init__(
        self,
        storage: Storage,
        layout: Layout,
        writer: ManifestWriter,
        on_commit: Callable[[Sequence[Record]], None],
        check: Callable[[], None] = lambda: None,
        marked: Set[str] = frozenset(),
    ) -> None:
        """`check` is called before a commit file is written, and raises if this run has lost its
        lock. `marked`: names of assets that an earlier run has marked."""
        self.storage, self.layout, self.writer = storage, layout, writer
        self.on_commit, self.check, self.marked = on_commit, check, marked
        # Marked assets and their queries, until their rows are in the manifest.
        self._settled: list[tuple[str, set[str]]] = []
        self._done = array("Q")  # hashes of ids of work items
        self.num_disambiguated = 0  # assets whose own path is taken by another asset
        self._pool = ThreadPoolExecutor(COMMITTERS)
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> "Committer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        self.check()  # if another run took over, it finds the records and adds their rows itself
        try:
            self.writer.flush()
        except StorageError as failure:
            if kind is None:
                raise
            log.warning("%s; the next run adds the missing rows to the manifest", failure)
        if kind is None:
            for job in self._waiting:
                job.result()
            with ThreadPoolExecutor(COMMITTERS) as pool:
                list(pool.map(self._unmark, self._settled))

    def commit(self, command: Commit) -> None:
        while self._waiting and (len(self._waiting) >= MAX_WAITING or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._commit, command))

    def find_done(self) -> "array[int]":
        """Wait for all commits; return hashes of the ids of their work items."""
        while self._waiting:
            self._waiting.popleft().result()
        return self._done

    def discard(self, command: Discard) -> None:
        asset, found = find_folder(self.storage, self.layout, command.asset)
        if not command.uri:
            self.storage.clear(self.layout.parts(asset.path))
        elif command.uri not in list_uris(found.records):
            self._delete(asset, [command.uri])

    def _commit(self, command: Commit) -> None:
        asset, old = find_folder(self.storage, self.layout, command.asset)
        records = command.records
        if command.is_new:
            records = keep_finished(old.records, records, asset.items)
            records += clear_residuals(old.records, records, command.orphan_uris)
            self._write(asset, old, records, command)
        else:  # an earlier run may have died between its commit file and these lines
            self._delete(asset, set(old.obsolete_uris) - set(list_uris(old.records)))
        self.storage.clear(self.layout.parts(asset.path))
        with self._lock:
            self.num_disambiguated += is_told_apart(asset.path, asset.uri)
            self._done.frombytes(hash_ids([r["request"] for r in command.records]).tobytes())
            if old.obsolete_uris or name_mark(asset.uri) in self.marked:
                self._settled.append((asset.uri, {r["query_name"] for r in command.records}))
            self.writer.add(records)
            settled = []
            if not self.writer.held:  # all of their rows are in the manifest now
                settled, self._settled = self._settled, []
            self.on_commit(command.records)
        for each in settled:
            self._unmark(each)

    def _unmark(self, settled: tuple[str, set[str]]) -> None:
        unmark(self.storage, self.layout, *settled)

    def _write(self, asset: Asset, old: CommitFile, records: list[Record], command: Commit) -> None:
        if not asset.etag and any(record["asset_etag"] for record in old.records):
            return  # storage could not read the asset's version: its earlier records stay
        rows, replaced_uris = merge_records(old.records, records)
        named = set(list_uris(rows))
        self._delete(asset, set(old.obsolete_uris) - named)
        obsolete = {*replaced_uris, *command.orphan_uris} - named
        # Once the commit file is written, the asset is done, even if this process dies.
        uri = self.layout.record(asset.path)
        if not parse_uri(uri).bucket:  # a folder may be deleted under a run
            for each in list_uris(command.records):
                self.storage.stat(each)
        self.check()
        self.storage.write(uri, pack_commit_file(CommitFile(asset.uri, rows, tuple(obsolete))))
        self._delete(asset, obsolete)

    def _delete(self, asset: Asset, uris: Iterable[str]) -> None:
        folder = self.layout.folder(asset.path) + "/"
        for uri in uris:
            # Other URIs come from a copied output or a forged commit file: do not touch them.
            if uri.startswith(folder) and ".." not in uri.split("/"):
                self.storage.delete(uri)
