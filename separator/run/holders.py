"""Tell which holders of the lock of an output overlap, and which of them are alive."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from separator.errors import OutputDamaged
from separator.run.process import is_alive

CLOCK_SKEW_S = 1800.0  # S3 refuses requests of clocks that are wrong by half of this


@dataclass(frozen=True)
class Holder:
    """One run that is at work, as the lock lists it by run id."""

    shard: str  # i/n; empty: the whole output
    process: str
    heartbeat: int = 0  # goes up while the run lives


Holders = dict[str, Holder]
Verdicts = dict[str, bool | None]  # alive, dead, or to be watched further


def read_holders(content: dict[str, Any], uri: str) -> Holders:
    """Take the holders from the content of a lock; OutputDamaged if no run has written it."""
    try:
        holders = {run_id: Holder(**about) for run_id, about in content.items()}
    except TypeError:
        holders = None
    if holders is None or not all(map(_is_whole, holders.values())):
        raise OutputDamaged(f"{uri}: is no lock; delete it if no run is at work on this output")
    return holders


def _is_whole(holder: Holder) -> bool:
    texts, number = (holder.shard, holder.process), holder.heartbeat
    is_typed = all(isinstance(text, str) for text in texts) and isinstance(number, int)
    return is_typed and bool(re.fullmatch(r"(\d+/\d+)?", holder.shard))


def overlap(one: str, other: str) -> bool:
    """Tell whether two shards have assets in common; empty: the whole library."""
    return not one or not other or one == other or one.split("/")[1] != other.split("/")[1]


@dataclass(frozen=True)
class _Sighting:
    heartbeat: int
    first_at: float  # when this heartbeat was seen first
    has_changed: bool


class HolderWatch:
    """Judge holders on this machine by their process, others by whether their heartbeat changes.

    Clocks of two machines are compared only for a lock that nobody has written for half an hour.
    """

    def __init__(
        self, process: str, stale_s: float, max_gap_s: float, get_age_s: Callable[[], float]
    ) -> None:
        """`process`: the identity of this one. `max_gap_s`: after a longer gap between two reads,
        watching begins again. `get_age_s`: the time since the lock was written, by two clocks that
        may disagree."""
        self.process, self.stale_s, self.max_gap_s = process, stale_s, max_gap_s
        self.get_age_s = get_age_s
        self._sightings: dict[str, _Sighting] = {}
        self._answered_at = 0.0

    def judge(self, holders: Holders, asked_at: float) -> Verdicts:
        """Judge the holders that a read returned; the read began at `asked_at` (monotonic)."""
        now = time.monotonic()
        if now - self._answered_at > self.max_gap_s:
            self._sightings.clear()  # storage was away, for the watched runs too
        self._answered_at = now
        for run_id, holder in holders.items():
            seen = self._sightings.get(run_id)
            if seen is None or seen.heartbeat != holder.heartbeat:
                self._sightings[run_id] = _Sighting(holder.heartbeat, now, seen is not None)
        return {r: self._judge(h, self._sightings[r], asked_at) for r, h in holders.items()}

    def _judge(self, holder: Holder, seen: _Sighting, asked_at: float) -> bool | None:
        verdict = is_alive(holder.process, self.process)
        if verdict is not None:
            return verdict
        if asked_at - seen.first_at > self.stale_s:
            return False
        if seen.has_changed:
            return True
        return False if self.get_age_s() > self.stale_s + CLOCK_SKEW_S else None


def find_live(holders: Holders, verdicts: Verdicts, shard: str) -> Holders | None:
    """Choose the live holders that overlap; None while that is not known."""
    others = {r: h for r, h in holders.items() if overlap(shard, h.shard)}
    live = {r: h for r, h in others.items() if verdicts[r]}
    is_open = not live and any(verdicts[r] is None for r in others)
    return None if is_open else live
