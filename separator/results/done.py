"""Tell which work items are done, by the current rows of the manifest."""

from array import array
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

import numpy as np

from separator.results.latest import (
    MAY_PASS,
    NO_ETAG,
    OK,
    Keys,
    find_unseen,
    hash_ids,
    join_keys,
    read_again,
    read_all_keys,
    read_latest,
    select_latest,
    to_score,
)
from separator.results.paths import Layout
from separator.rows import Asset
from separator.storage import Storage


@dataclass(frozen=True)
class DoneItems:
    """Sorted hashes of work item ids, 8 bytes each. `done`: items that need no more work; `failed`:
    those of them that failed for good; `wanted`: if given, no other items are to be made."""

    done: np.ndarray
    failed: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    wanted: np.ndarray | None = None
    failed_etags: Mapping[str, str] = field(default_factory=dict)  # with `wanted`, by URI of asset
    last_commit_us: int = 0  # the newest `created_at`

    def select_pending(self, asset: Asset, recorded: Set[str] | None = None) -> Asset | None:
        """Keep the work items of an asset that are left to do; None if there are none. `recorded`:
        the ids in its commit file, if the manifest may be wrong about the asset."""
        is_open = ~self._find(asset, self.done)
        if recorded is not None:
            is_open |= [not set(item.ids) & recorded for item in asset.items]
        if self.wanted is not None and not self._is_mended(asset):
            is_open &= self._find(asset, self.wanted)
        names = {item.name for item, chosen in zip(asset.items, is_open, strict=True) if chosen}
        # A rendition is made of stems: they are made with it.
        names |= {name for item in asset.items if item.name in names for name in item.needs}
        items = tuple(item for item in asset.items if item.name in names)
        return replace(asset, items=items) if items else None

    def has_failed(self, asset: Asset) -> bool:
        """Tell whether a work item of the asset has failed for good."""
        return bool(self._find(asset, self.failed).any())

    def _is_mended(self, asset: Asset) -> bool:
        """Tell whether an asset that had failed has changed since: then all its items are new."""
        return self.failed_etags.get(asset.uri, asset.etag) != asset.etag

    def add(self, hashes: "array[int]") -> "DoneItems":
        """Add work items that were committed since, by the hashes of their ids."""
        return replace(self, done=np.union1d(self.done, np.asarray(hashes, np.uint64)))

    def _find(self, asset: Asset, hashes: np.ndarray) -> np.ndarray:
        # Old outputs hold ids of the first release. An item may lack an id: "0" matches no hash.
        ids = hash_ids([each or "0" for item in asset.items for each in item.ids])
        return is_known(ids, hashes).reshape(-1, 3).any(axis=1)  # an item has three ids


@read_again
def find_done(
    storage: Storage,
    layout: Layout,
    retry_failed: bool,
    only_failed: bool = False,
    threshold: float = 1.0,
) -> DoneItems:
    """Read which work items are done on every track. `retry_failed`: items that failed for good
    are to be tried again; `only_failed`: only failed items are wanted, and all items of an asset
    that had failed and has changed since. `threshold`: an absent stem is to be made if its score
    reaches this."""
    parts = read_all_keys(storage, layout)
    every = join_keys(parts)
    del parts  # frees as much memory as `every` takes
    is_latest, is_unseen = select_latest(every), find_unseen(every)
    keys = Keys(*(column[is_latest] for column in every))
    ids, outcome = keys.work_item.view(np.uint64), keys.outcome
    # If storage could not read the asset since, run it again: its commit file says what is done.
    is_open = (outcome == MAY_PASS) | (is_unseen[is_latest] & (keys.etag != NO_ETAG))
    is_open |= keys.absent_score >= to_score(threshold)
    if retry_failed:
        is_open |= outcome != OK
    done = np.setdiff1d(ids[~is_open], ids[is_open])
    failed = np.intersect1d(done, ids[outcome != OK])
    wanted = np.unique(ids[outcome != OK]) if only_failed else None
    etags = read_failed_etags(storage, layout) if only_failed else {}
    return DoneItems(done, failed, wanted, etags, int(every.created_at.max(initial=0)))


def read_failed_etags(storage: Storage, layout: Layout) -> dict[str, str]:
    """Read which version each asset with a failed row had."""
    columns = ("asset_uri", "asset_etag", "error_code")
    batches = read_latest(storage, layout, columns)
    rows = (row for batch in batches for row in batch.to_pylist() if row["error_code"])
    return {row["asset_uri"]: row["asset_etag"] for row in rows}


def is_known(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mark the hashes that are among the sorted `known`, by binary search."""
    at = np.searchsorted(known, hashes)
    return known[np.minimum(at, len(known) - 1)] == hashes if len(known) else at < 0
