"""Count what a run has done so far. Pure: the run counts, the console and the run file read."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from separator.results.record import ABSENT, FAILED, OK
from separator.results.schema import Record
from separator.rows import RENDITION, STEM, Row, Seconds
from separator.run.devices import DeviceHealth

PHASES = ("checking the library", "starting Ray", "warming up", "separating", "finishing")
NOT_TOTALS = (
    "run_id", "stage_s", "started", "pass_started", "earlier_device_s", "phase", "pass_actors",
    "waiting", "devices", "ray_data", "earlier_assets",
)  # fmt: skip
CHECKING, STARTING_RAY, WARMING, SEPARATING, FINISHING = PHASES


@dataclass(frozen=True)
class ListingCounts:
    """The counts that the first stage reports when it has listed all assets."""

    assets: int  # number of assets that went into the flow
    duplicates: int  # rows of a list that named an asset again
    skipped: int  # assets that were done before
    left: int  # assets that failed for good before and are left alone
    versions: tuple[str, ...] = ()  # of the assets that went into a pass after the first


@dataclass
class RunStats:
    """The totals of a run over all its passes."""

    run_id: str
    phase: str = CHECKING
    assets: int = 0  # committed
    assets_listed: int = 0  # went into the flow, in all passes; 0 while they are being listed
    assets_failed: int = 0
    assets_known: int = 0  # committed by an earlier run that could not write its manifest
    assets_skipped: int = 0  # done before
    assets_left: int = 0  # failed for good in an earlier run and left alone
    stems: int = 0
    renditions: int = 0
    heard: int = 0  # stems whose queries are heard
    absent: int = 0  # stems that were not made: their queries are heard nowhere
    audio_s: float = 0.0
    asset_bytes: int = 0
    seconds: float = 0.0  # since the start
    first_asset_s: float = 0.0  # from the start to the first committed asset
    failures: Counter[str] = field(default_factory=Counter)  # assets by error code
    stage_s: Counter[str] = field(default_factory=Counter)
    waiting: str = ""  # what the run waits for, if nothing comes out
    ray_data: list[str] = field(default_factory=list)  # Ray Data's own account of each pass
    devices: DeviceHealth = field(default_factory=DeviceHealth)
    num_actors: int = 0
    num_cpus: int = 0
    device_s: float = 0.0  # number of actors times the seconds of the passes
    started: float = field(default_factory=time.monotonic)
    pass_started: float = 0.0
    earlier_device_s: float = 0.0  # `device_s` of earlier passes
    earlier_assets: int = 0  # committed in earlier passes
    pass_actors: int = 0

    @property
    def has_results(self) -> bool:
        """Tell whether any work was done, or found to be done."""
        return bool(self.assets or self.stage_s)

    @property
    def device_busy(self) -> float:
        """The share of its time that an actor spent on spans."""
        return self.stage_s["separate"] / self.device_s if self.device_s else 0.0

    def begin_pass(self, num_actors: int, num_cpus: int) -> None:
        self.phase, self.assets_listed = WARMING, 0
        self.earlier_device_s, self.pass_started = self.device_s, time.monotonic()
        self.earlier_assets = self.assets
        self.pass_actors = num_actors
        self.num_actors = max(self.num_actors, num_actors)
        self.num_cpus = max(self.num_cpus, num_cpus)

    def note_listing(self, counts: ListingCounts) -> None:
        """Note the assets of this pass: those that earlier passes have not committed."""
        self.assets_listed = counts.assets and self.earlier_assets + counts.assets

    def count_row(self, row: Row) -> None:
        """Add the seconds that a row carries."""
        seconds: Seconds = getattr(row, "seconds", Seconds())
        self.stage_s.update(vars(seconds))
        if seconds.separate:
            self.phase = SEPARATING
        now = time.monotonic()
        self.seconds = now - self.started
        self.device_s = self.earlier_device_s + self.pass_actors * (now - self.pass_started)

    def count_records(self, records: Sequence[Record]) -> None:
        """Add the records of one committed asset."""
        failed = [record for record in records if record["status"] == FAILED]
        self.seconds = time.monotonic() - self.started
        self.first_asset_s = self.first_asset_s or self.seconds
        self.assets += 1
        self.assets_failed += bool(failed)
        for code in {record["error_code"] for record in failed}:
            self.failures[code] += 1
        if records[0]["run_id"] != self.run_id:
            self.assets_known += 1
            return  # the work of another run
        made = Counter(record["kind"] for record in records if record["status"] == OK)
        self.stems += made[STEM]
        self.renditions += made[RENDITION]
        self.heard += sum(bool(record["presence"]) for record in records)
        self.absent += sum(record["status"] == ABSENT for record in records)
        tracks = {r["track_index"]: r["duration_s"] for r in records if r["status"] != FAILED}
        self.audio_s += sum(tracks.values())
        self.asset_bytes += records[0]["asset_bytes"]

    def finish(self) -> None:
        self.phase = FINISHING
        self.seconds = time.monotonic() - self.started

    def to_dict(self) -> dict[str, Any]:
        """Make the part of the run file that says what has been done. Called from a thread."""
        totals = {key: value for key, value in vars(self).items() if key not in NOT_TOTALS}
        totals["failures"] = dict(self.failures)
        return {
            "phase": self.phase,
            "waiting": self.waiting,
            "totals": totals,
            "devices": {"failures": dict(self.devices.failures), "left_out": self.devices.left_out},
            "ray_data": [text.splitlines() for text in self.ray_data],
            "device_busy": round(self.device_busy, 3),
            "stage_seconds": {key: round(value, 3) for key, value in dict(self.stage_s).items()},
        }
