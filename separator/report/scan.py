"""Count all current rows of the manifest in one pass, for the overview of the report.

Memory grows by about 80 bytes per row, whatever the length of its texts: it holds a hash of each
asset, at most MAX_QUERIES names of queries, and a few examples of each failure.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.report.doubt import CLIPPED, REPAIRED, WARNED, Signs, rate_doubt
from separator.results.record import FAILED, OK
from separator.rows import STEM

if TYPE_CHECKING:
    import pyarrow as pa

MAX_QUERIES = 10_000  # names that are counted; all others count as one query
MAX_EXAMPLES = 5  # of each failure
OTHERS = "(other queries)"
SEVERAL = "(several texts)"  # one name has several texts, because assets have their own queries
# Columns with a histogram: lowest and highest value, unit.
HISTOGRAMS = {
    "presence_score": (0.0, 1.0, ""),
    "presence_share": (0.0, 1.0, "of the track"),
    "loudness_lufs": (-70.0, 0.0, "LUFS"),
    "true_peak_dbtp": (-70.0, 6.0, "dBTP"),
    "energy_share": (0.0, 1.0, "of the track"),
    "active_share": (0.0, 1.0, "of the stem"),
    "similarity": (-1.0, 1.0, ""),
    "residual_similarity": (-1.0, 1.0, ""),
}
NUM_BINS = 28
NUMBERS = ("presence_score", "similarity", "residual_similarity", "energy_share", "loudness_lufs")
SCANNED = (
    "asset_uri", "track_index", "kind", "query_name", "query_text", "status", "error_code",
    "error_stage", "error_detail", "warning", "decode_warnings", "num_clipped", "duration_s",
    *HISTOGRAMS,
)  # fmt: skip


@dataclass
class Arrays:
    """One value a row, in the order in which rows are read."""

    asset: np.ndarray  # hash of its URI
    query: np.ndarray  # number of its name
    is_stem: np.ndarray
    numbers: np.ndarray  # (rows, NUMBERS)
    flaws: np.ndarray

    def rate(self) -> tuple[np.ndarray, np.ndarray]:
        columns = dict(zip(NUMBERS, self.numbers.T, strict=True))
        return rate_doubt(Signs(self.is_stem, self.query, flaws=self.flaws, **columns))


@dataclass
class QueryCount:
    text: str = ""  # or SEVERAL
    kind: str = STEM
    rows: Counter[str] = field(default_factory=Counter)  # by status
    seconds: float = 0.0  # of its stems
    share_sum: float = 0.0  # of presence_share
    num_shares: int = 0


@dataclass
class Scan:
    """The totals over all rows."""

    num_assets: int = 0
    num_failed_assets: int = 0
    num_tracks: int = 0
    audio_s: float = 0.0
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind and status
    failures: Counter[str] = field(default_factory=Counter)  # rows by code
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    queries: dict[str, QueryCount] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)


def scan_rows(batches: "Iterable[pa.RecordBatch]") -> tuple[Scan, Arrays]:
    """Count all rows; each batch has the columns of SCANNED, except for those its file lacks."""
    scan, parts, numbers = Scan(), [], {}
    tracks: list[np.ndarray] = []
    failed: list[np.ndarray] = []
    for batch in batches:
        columns = Columns(batch)
        arrays = _read_arrays(columns, numbers)
        parts.append(arrays)
        is_failed = columns.equals("status", FAILED)
        failed.append(np.unique(arrays.asset[is_failed]))
        tracks.append(_list_tracks(columns, arrays))
        _count_rows(scan, columns, list(numbers), arrays)
        _add_examples(scan, columns, is_failed)
    joined = _join(parts)
    scan.num_assets = len(np.unique(joined.asset))
    scan.num_failed_assets = len(np.unique(np.concatenate([np.zeros(0, np.int64), *failed])))
    found = np.concatenate([np.zeros(0, TRACK), *tracks])
    _, first = np.unique(found[["asset", "track"]], return_index=True)
    scan.queries.pop("", None)  # rows of a list whose queries could not be read have no name
    scan.num_tracks, scan.audio_s = len(first), float(found["seconds"][first].sum())
    return scan, joined


TRACK = np.dtype([("asset", np.int64), ("track", np.int32), ("seconds", np.float64)])


class Columns:
    """Read columns of a batch as arrays or texts; columns that the batch lacks are empty."""

    def __init__(self, batch: "pa.RecordBatch") -> None:
        self.batch = batch
        self.names = set(batch.schema.names)

    def read_numbers(self, name: str) -> np.ndarray:
        """Read numbers as float64; NaN for null."""
        if name not in self.names:
            return np.full(len(self.batch), np.nan)
        values = self.batch[name].cast("float64").to_numpy(zero_copy_only=False)
        return np.array(values, np.float64)

    def read_coded(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Read texts; return the index of each row's text, and the distinct texts."""
        if name not in self.names:
            return np.zeros(len(self.batch), np.int64), [""]
        coded = self.batch[name].fill_null("").dictionary_encode()
        return coded.indices.to_numpy(zero_copy_only=False), coded.dictionary.to_pylist()

    def equals(self, name: str, text: str) -> np.ndarray:
        codes, texts = self.read_coded(name)
        return np.array([each == text for each in texts], bool)[codes]


def has_text(batch: "pa.RecordBatch", name: str) -> np.ndarray:
    """Mark the rows whose column holds a text that is not empty."""
    return ~Columns(batch).equals(name, "")


def hash_assets(columns: Columns) -> np.ndarray:
    """Hash each row's asset, in the same way in every process."""
    codes, uris = columns.read_coded("asset_uri")
    hashes = [hash_text(uri) for uri in uris]
    return np.array(hashes, np.int64)[codes]


def hash_text(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _read_arrays(columns: Columns, known: dict[str, int]) -> Arrays:
    """Read the arrays of a batch. `known` maps names of queries to numbers, over all batches."""
    codes, names = columns.read_coded("query_name")
    for name in names:
        if name not in known and len(known) < MAX_QUERIES:
            known[name] = len(known)
        elif name not in known:
            known.setdefault(OTHERS, len(known))
    others = known.get(OTHERS, 0)
    numbers = np.array([known.get(name, others) for name in names], np.int32)[codes]
    flaws = np.zeros(len(codes), np.int16)
    for bit, column in ((WARNED, "warning"), (REPAIRED, "decode_warnings")):
        flaws |= (~columns.equals(column, "")).astype(np.int16) << bit
    flaws |= (columns.read_numbers("num_clipped") > 0).astype(np.int16) << CLIPPED
    is_stem = columns.equals("status", OK) & _is_of_kind(columns, STEM)
    values = [columns.read_numbers(name).astype(np.float32) for name in NUMBERS]
    return Arrays(hash_assets(columns), numbers, is_stem, np.stack(values, 1), flaws)


def _is_of_kind(columns: Columns, kind: str) -> np.ndarray:
    """Find the rows of a kind. Rows of earlier versions have no kind: all were stems."""
    found = columns.equals("kind", kind)
    return found | columns.equals("kind", "") if kind == STEM else found


def _join(parts: Sequence[Arrays]) -> Arrays:
    if not parts:
        return Arrays(
            np.zeros(0, np.int64),
            np.zeros(0, np.int32),
            np.zeros(0, bool),
            np.zeros((0, len(NUMBERS)), np.float32),
            np.zeros(0, np.int16),
        )
    names = ("asset", "query", "is_stem", "numbers", "flaws")
    return Arrays(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _list_tracks(columns: Columns, arrays: Arrays) -> np.ndarray:
    """List each track of a batch once, with its length; leave out tracks without a length."""
    seconds = columns.read_numbers("duration_s")
    rows = np.zeros(len(seconds), TRACK)
    rows["asset"], rows["seconds"] = arrays.asset, seconds
    rows["track"] = columns.read_numbers("track_index")
    rows = rows[~np.isnan(seconds)]
    return rows[np.unique(rows[["asset", "track"]], return_index=True)[1]]


def _count_rows(scan: Scan, columns: Columns, names: list[str], arrays: Arrays) -> None:
    status_codes, statuses = columns.read_coded("status")
    kind_codes, kinds = columns.read_coded("kind")
    text_codes, texts = columns.read_coded("query_text")
    asked = arrays.query.astype(np.int64) * len(texts) + text_codes
    _, firsts = np.unique(asked, return_index=True)
    for row in firsts:  # one row of each text of each query
        count = scan.queries.setdefault(names[arrays.query[row]], QueryCount())
        text = texts[text_codes[row]]
        if text and count.text != text:
            count.text = SEVERAL if count.text else text
        count.kind = kinds[kind_codes[row]] or STEM
    for code, status in enumerate(statuses):
        for kind_code, kind in enumerate(kinds):
            chosen = (status_codes == code) & (kind_codes == kind_code)
            scan.rows[kind or STEM, status] += int(chosen.sum())
            for query, number in zip(
                *np.unique(arrays.query[chosen], return_counts=True), strict=True
            ):
                scan.queries[names[query]].rows[status] += int(number)
    _sum_queries(scan, columns, names, arrays)
    for column, (low, high, _) in HISTOGRAMS.items():
        values = columns.read_numbers(column)[arrays.is_stem]
        counts, _ = np.histogram(
            np.clip(values[~np.isnan(values)], low, high), NUM_BINS, (low, high)
        )
        scan.histograms[column] = scan.histograms.get(column, np.zeros(NUM_BINS, int)) + counts


def _sum_queries(scan: Scan, columns: Columns, names: list[str], arrays: Arrays) -> None:
    seconds = np.nan_to_num(columns.read_numbers("duration_s")) * columns.equals("status", OK)
    shares = columns.read_numbers("presence_share")
    is_measured = ~np.isnan(shares)
    size = len(names)
    sums = [
        np.bincount(arrays.query, seconds, size),
        np.bincount(arrays.query, np.nan_to_num(shares), size),
        np.bincount(arrays.query, is_measured, size),
    ]
    for number in np.unique(arrays.query):
        count = scan.queries[names[number]]
        count.seconds += float(sums[0][number])
        count.share_sum += float(sums[1][number])
        count.num_shares += int(sums[2][number])


def _add_examples(scan: Scan, columns: Columns, is_failed: np.ndarray) -> None:
    rows = np.flatnonzero(is_failed)
    if not len(rows):
        return
    codes, texts = columns.read_coded("error_code")
    counts = np.bincount(codes[rows], minlength=len(texts))
    for number, code in enumerate(texts):
        scan.failures[code] += int(counts[number])
        examples = scan.examples.setdefault(code, [])
        for row in rows[codes[rows] == number]:
            if len(examples) >= MAX_EXAMPLES:
                break
            found = _describe_example(columns, int(row))
            if found["asset"] not in [each["asset"] for each in examples]:
                examples.append(found)
    scan.failures += Counter()  # drops codes without a failed row
    scan.examples = {code: scan.examples[code] for code in scan.failures}


def _describe_example(columns: Columns, row: int) -> dict[str, Any]:
    pairs = {"asset": "asset_uri", "stage": "error_stage", "detail": "error_detail"}
    found = {}
    for key, column in pairs.items():
        value = columns.batch[column][row].as_py() if column in columns.names else None
        found[key] = value or ""
    return found
