"""Find the rows of the manifest that are current: those of the last commits.

Runs only add files, so superseded rows of earlier commits remain until a compaction.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

import numpy as np

from separator.errors import ObjectMissing, OutputDamaged
from separator.results.manifest import KEY_COLUMNS, iterate_batches, list_entries
from separator.results.paths import Layout
from separator.results.record import ABSENT, PASSING
from separator.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

NO_ETAG = hash("")  # the etag of an asset that storage could not look at
OK, FAILED_FOR_GOOD, MAY_PASS = 0, 1, 2  # outcomes
SCORE_COLUMNS = ("status", "presence_score")
MAX_READS = 3

In = ParamSpec("In")
Out = TypeVar("Out")


def read_again(read: Callable[In, Out]) -> Callable[In, Out]:
    """Let a function that reads the manifest begin again if a file of it is gone: a run compacts
    the manifest at its end, maybe after the function has listed the files."""

    @functools.wraps(read)
    def read_until_whole(*args: In.args, **options: In.kwargs) -> Out:
        for _ in range(MAX_READS - 1):
            with contextlib.suppress(ObjectMissing):
                return read(*args, **options)
        return read(*args, **options)

    return read_until_whole


class Keys(NamedTuple):
    """Hold as integers the columns that decide which rows are current: 64 bytes a row."""

    asset: np.ndarray  # hash of the asset's URI
    etag: np.ndarray  # hash of the asset's version
    item: np.ndarray  # hash of (asset, query)
    track: np.ndarray  # hash of (asset, query, track)
    created_at: np.ndarray  # microseconds; all rows of one commit share it
    work_item: np.ndarray  # the first 8 bytes of its id
    outcome: np.ndarray  # OK, FAILED_FOR_GOOD or MAY_PASS
    absent_score: np.ndarray  # score of a query that is absent, in millionths; -1 in other rows


def select_latest(keys: Keys) -> np.ndarray:
    """Mark the rows of the last commits, each once.

    A row is kept if its etag is the newest one of its asset, if no later commit holds its asset
    and query, and if it is the first of equal rows. A row of an asset that storage could not look
    at replaces no other row, because the stems are still there: both stay until a later commit.
    """
    is_unseen = keys.etag == NO_ETAG
    seen_first = np.lexsort((-keys.created_at, is_unseen))
    newest_etag = keys.etag[find_first(keys.asset, seen_first)]
    last_commit = keys.created_at[find_first(keys.item, seen_first)]
    is_kept = (keys.etag == newest_etag) & (keys.created_at == last_commit)
    newest_first = sort_newest_first(keys)
    last_of_all = keys.created_at[find_first(keys.item, newest_first)]
    is_kept |= is_unseen & (keys.created_at == last_of_all)
    first = np.where(
        is_unseen, find_first(keys.track, newest_first), find_first(keys.track, seen_first)
    )
    return is_kept & (first == np.arange(len(is_kept)))


def find_unseen(keys: Keys) -> np.ndarray:
    """Mark rows of work items whose newest row says that storage could not look at the asset."""
    return keys.etag[find_first(keys.item, sort_newest_first(keys))] == NO_ETAG


def sort_newest_first(keys: Keys) -> np.ndarray:
    return np.argsort(-keys.created_at, kind="stable")


def find_first(groups: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return for each row the index of the row of its group that comes first in `order`."""
    _, first, group = np.unique(groups[order], return_index=True, return_inverse=True)
    found = np.empty_like(order)
    found[order] = order[first[group]]
    return found


def find_latest(storage: Storage, layout: Layout) -> dict[str, np.ndarray]:
    """Return for each file of the manifest the mask of its current rows."""
    parts = read_all_keys(storage, layout)
    if not parts:
        return {}
    keys = join_keys(parts)
    ends = np.cumsum([part.shape[1] for part in parts.values()])
    masks = np.split(select_latest(keys), ends[:-1])
    return dict(zip(parts, masks, strict=True))


def read_latest(
    storage: Storage, layout: Layout, columns: Sequence[str]
) -> "Iterator[pa.RecordBatch]":
    """Yield some columns of the current rows, a batch at a time."""
    yield from read_marked(storage, find_latest(storage, layout), columns)


def read_marked(
    storage: Storage, masks: Mapping[str, np.ndarray], columns: Sequence[str]
) -> "Iterator[pa.RecordBatch]":
    """Yield some columns of the rows that the masks mark, by file; a file may lack a column."""
    for uri, mask in masks.items():
        start = 0
        for batch in iterate_batches(storage, uri, columns):
            yield select(batch, mask[start : start + len(batch)])
            start += len(batch)


def select(batch: "pa.RecordBatch", mask: np.ndarray | Sequence[bool]) -> "pa.RecordBatch":
    """Keep the rows that a mask marks."""
    import pyarrow as pa  # imported here, because the import takes 0.2 s

    bits = pa.py_buffer(np.packbits(np.array(mask, bool), bitorder="little"))
    # `pa.array` of an array would import pandas.
    return batch.filter(pa.Array.from_buffers(pa.bool_(), len(batch), [None, bits]))


def read_all_keys(storage: Storage, layout: Layout) -> dict[str, np.ndarray]:
    """Read the keys of every file. A damaged one is left out: a run finds its rows again, in the
    records beside the stems.

    Files come newest first: of equal rows in two files, the newer file's is kept. A compaction
    that was overtaken by another one then only deletes rows that stand in a newer file too.
    """
    entries = sorted(
        list_entries(storage, layout), key=lambda e: (e.modified_at, e.uri), reverse=True
    )
    found = {}
    for entry in entries:
        try:
            found[entry.uri] = read_keys(storage, entry.uri)
        except OutputDamaged as error:
            log.warning("%s; the file is ignored: move it away", error)
    return found


def join_keys(parts: dict[str, np.ndarray]) -> Keys:
    columns = np.concatenate([_make_empty(), *parts.values()], axis=1)
    return Keys(*columns)


def read_keys(storage: Storage, uri: str) -> np.ndarray:
    """Read the `Keys` of one file as an array (8, rows)."""
    try:
        return np.concatenate([_make_empty(), *_iterate_keys(storage, uri)], axis=1)
    except ValueError as error:  # a text that is not UTF-8, or a malformed id
        raise OutputDamaged(f"{uri}: is no manifest: {error}") from None


def _iterate_keys(storage: Storage, uri: str) -> Iterator[np.ndarray]:
    for batch in iterate_batches(storage, uri, (*KEY_COLUMNS, *SCORE_COLUMNS)):
        if any(batch[name].null_count for name in KEY_COLUMNS):
            raise OutputDamaged(f"{uri}: is no manifest, a column that says what a row is has gaps")
        columns = {name: batch[name].to_pylist() for name in KEY_COLUMNS if name != "created_at"}
        assets, etags, queries, tracks, ids, codes = columns.values()
        items = zip(assets, queries, strict=True)
        item_tracks = zip(assets, queries, tracks, strict=True)
        groups = (assets, etags, items, item_tracks)
        hashes = [np.fromiter(map(hash, group), np.int64, len(batch)) for group in groups]
        # `to_numpy` would import pandas, which takes 0.4 s.
        created_at = np.fromiter(batch["created_at"].view("int64").to_pylist(), np.int64)
        outcomes = np.fromiter(map(find_outcome, codes), np.int64, len(batch))
        scores = read_absent_scores(batch)
        yield np.stack([*hashes, created_at, hash_ids(ids).view(np.int64), outcomes, scores])


def read_absent_scores(batch: "pa.RecordBatch") -> np.ndarray:
    """Read the scores of rows whose query is absent; manifests of earlier versions have none."""
    if not set(SCORE_COLUMNS) <= set(batch.schema.names):
        return np.full(len(batch), -1)
    rows = zip(*(batch[name].to_pylist() for name in SCORE_COLUMNS), strict=True)
    return np.fromiter(
        (to_score(score or 0.0) if status == ABSENT else -1 for status, score in rows),
        np.int64,
        len(batch),
    )


def to_score(score: float) -> int:
    return round(1e6 * score)


def _make_empty() -> np.ndarray:
    return np.empty((len(Keys._fields), 0), np.int64)


def find_outcome(error_code: str) -> int:
    return OK if not error_code else MAY_PASS if error_code in PASSING else FAILED_FOR_GOOD


def hash_ids(ids: Sequence[str]) -> np.ndarray:
    """Return the first 8 bytes of each work item's id, as an integer."""
    return np.array([int(each[:16], 16) for each in ids], np.uint64)
