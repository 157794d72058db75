"""List the assets of a run in a worker, and extract them: the first two stages of the flow."""

from collections.abc import Iterator
from typing import Any

import ray

from separator.errors import SeparatorError, WorkerCrashed
from separator.rows import Asset, AssetBatch
from separator.run.prepare import Target
from separator.run.stats import ListingCounts
from separator.stages.collect import name_version
from separator.stages.extract import Extractor
from separator.stages.listing import pack

MAX_PACKED, MAX_PACKED_BYTES = 16, 4 << 20  # assets of one row; about five minutes of sound


class Lister:
    """The first stage: assets with work left to do, small ones packed into one row. One generator
    for the whole input."""

    def __init__(self, target: Target, done: ray.ObjectRef, monitor: Any, is_retry: bool) -> None:
        self.target, self.done, self.monitor = target, done, monitor
        self.is_retry = is_retry

    def __call__(self, _: AssetBatch) -> Iterator[AssetBatch]:
        try:
            yield from self._list()
        except SeparatorError as error:  # the input cannot be listed any further
            ray.get(self.monitor.report_error.remote(error.code, str(error)))

    def _list(self) -> Iterator[AssetBatch]:
        done, listing = ray.get(self.done), self.target.list_assets()
        count = skipped = left = 0
        versions: list[str] = []

        def list_pending() -> Iterator[Asset]:
            nonlocal skipped, left
            for asset, pending in self.target.list_pending(done, listing, settle=True):
                if pending is not None:
                    yield pending
                elif done.has_failed(asset):
                    left += 1
                else:
                    skipped += 1

        for assets in pack(list_pending(), 1 if self.is_retry else MAX_PACKED, MAX_PACKED_BYTES):
            count += len(assets)
            if self.is_retry:
                versions += map(name_version, assets)
            yield AssetBatch(assets)
        counts = ListingCounts(count, listing.num_duplicates, skipped, left, tuple(versions))
        ray.get(self.monitor.report_listing.remote(counts))


class Unpack:
    """Extract the assets of a batch one after the other."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor

    def __call__(self, batch: AssetBatch) -> Iterator[Any]:
        for asset in batch.assets:
            yield from self.extractor(asset)


def get_listing(monitor: Any, has_ended: bool = False) -> ListingCounts:
    """Ask for the counts of the first stage; all 0 while it is listing."""
    counts: Any = ray.get(monitor.get_listing.remote())
    if counts is None and has_ended:
        raise WorkerCrashed("the worker that lists the input died each time; see Ray's logs")
    return counts or ListingCounts(0, 0, 0, 0)
