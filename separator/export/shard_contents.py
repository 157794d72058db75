"""Describe the content of a data set's shards: counts, files with hashes, missing stems."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

COUNTED = ("query_text", "licence")
NETWORK, SUFFIX = "network", "suffix"  # counted too: networks with their weights, file types


@dataclass(frozen=True)
class ShardFile:
    """A file of a shard; `name` is its path below the data set's root."""

    name: str
    num_bytes: int
    sha256: str


@dataclass
class Contents:
    """The content of a shard, and the stems that were missing from storage or damaged."""

    split: str
    num_stems: int = 0
    seconds: float = 0.0
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # by column and value
    days: list[str] = field(default_factory=list)  # first and last day on which stems were made
    missing: list[str] = field(default_factory=list)  # URIs, also of damaged files
    too_loud: list[str] = field(default_factory=list)  # URIs of stems whose mixture would clip
    files: list[ShardFile] = field(default_factory=list)

    def add(self, row: dict[str, Any], suffix: str) -> None:
        self.num_stems += 1
        self.seconds += row["duration_s"]
        day = row["created_at"].date().isoformat()
        self.days = [min([day, *self.days]), max([day, *self.days])]
        network = f"{row['model_name']}, weights with sha256 {row['checkpoint_sha256']}"
        # Example sounds have no text.
        asked = row["query_text"] or row["query_name"]
        counted = {"query_text": asked, "licence": row["licence"]}
        for column, value in (counted | {NETWORK: network, SUFFIX: suffix}).items():
            counts = self.counts.setdefault(column, {})
            counts[value] = counts.get(value, 0) + 1

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files)

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is missing; an index of an earlier version, without counts, is not
        whole."""
        return not self.missing and bool(self.files) and NETWORK in self.counts

    def to_json(self) -> bytes:
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False, sort_keys=True)
        return text.encode("utf-8", "surrogateescape")

    @classmethod
    def from_json(cls, data: bytes) -> "Contents":
        """Read an index; raise ValueError if it is damaged or no index."""
        try:
            about = json.loads(data.decode("utf-8", "surrogateescape"))
            about.pop("num_bytes", None)  # an earlier version wrote it
            return cls(**about | {"files": [ShardFile(**each) for each in about.get("files", [])]})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"is no index of a shard: {error}") from None


class Total(NamedTuple):
    """The totals of one split; empty shards do not count."""

    num_stems: int
    seconds: float
    num_bytes: int
    num_shards: int


def sum_splits(contents: Sequence[Contents]) -> dict[str, Total]:
    """Sum up shards by split, in order of the names."""
    full = [each for each in contents if each.num_stems]
    totals = {}
    for split in sorted({each.split for each in full}):
        shards = [each for each in full if each.split == split]
        totals[split] = Total(
            sum(each.num_stems for each in shards),
            sum(each.seconds for each in shards),
            sum(each.num_bytes for each in shards),
            len(shards),
        )
    return totals


def sum_up(contents: Sequence[Contents], column: str) -> Counter[str]:
    total = Counter[str]()
    for each in contents:
        total.update(each.counts.get(column, {}))
    return total
