"""Publish the totals of a run as metrics of Ray, which every node offers to Prometheus.

deploy/grafana.json shows them.
"""

from collections import Counter as Count
from typing import Any

from ray.util.metrics import Counter, Gauge

from separator.run.stats import RunStats

COUNTERS = {
    "separator_assets": ("assets committed", ""),
    "separator_audio_seconds": ("seconds of audio of committed assets, all tracks", ""),
    "separator_asset_bytes": ("size of committed assets", ""),
    "separator_stems": ("stems written", ""),
    "separator_failures": ("assets with failures, by code", "code"),
    "separator_device_failures": ("failures of devices", "device"),
    "separator_stage_seconds": ("time spent in each stage", "stage"),
}
GAUGES = {
    "separator_device_busy": ("share of their time that actors spent on spans", ""),
    "separator_actors": ("networks that have started", ""),
    "separator_open_assets": ("assets listed and not yet committed: the queue", ""),
    "separator_waiting": ("1 while the run waits for this", "what"),
}


class RunMetrics:
    """Hold the metrics of one pass: they belong to its Ray, and every pass starts a new one."""

    def __init__(self, stats: RunStats) -> None:
        self.counters = {
            name: Counter(name, about, (tag,) if tag else ())
            for name, (about, tag) in COUNTERS.items()
        }
        self.gauges = {
            name: Gauge(name, about, (tag,) if tag else ()) for name, (about, tag) in GAUGES.items()
        }
        self.seen = count(stats)  # earlier passes have published these
        self.waited: set[str] = set()

    def update(self, stats: RunStats) -> None:
        now = count(stats)
        for (name, tag), more in (now - self.seen).items():
            self.counters[name].inc(more, {COUNTERS[name][1]: tag} if tag else {})
        self.seen = now
        self.gauges["separator_device_busy"].set(stats.device_busy)
        self.gauges["separator_actors"].set(len(stats.devices.working))
        self.gauges["separator_open_assets"].set(max(0, stats.assets_listed - stats.assets))
        self.waited |= {stats.waiting} - {""}
        for what in self.waited:
            self.gauges["separator_waiting"].set(what == stats.waiting, {"what": what})


def count(stats: RunStats) -> "Count[tuple[str, str]]":
    """Return the value of each counter, by its name and tag."""
    found: Any = Count()  # seconds too, though its type speaks of whole numbers
    plain = {
        "separator_assets": stats.assets,
        "separator_audio_seconds": stats.audio_s,
        "separator_asset_bytes": stats.asset_bytes,
        "separator_stems": stats.stems,
    }
    tagged = {
        "separator_failures": stats.failures,
        "separator_device_failures": stats.devices.failures,
        "separator_stage_seconds": stats.stage_s,
    }
    found.update({(name, ""): value for name, value in plain.items()})
    for name, values in tagged.items():
        found.update({(name, tag): value for tag, value in dict(values).items()})
    return found
