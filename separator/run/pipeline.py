"""Run the flow on Ray Data: list -> extract -> separate -> publish -> commit.

`make_dataset` is the flow on one screen. Ray replaces workers that die; an asset that keeps killing
its workers is dropped by Ray, not by us: `run_flow` returns how many are missing, so that they can
be run again, and recorded if need be.
"""

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import ray
import ray.data
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from separator.errors import SeparatorError, WorkerCrashed, find_error
from separator.media.mux import MuxSettings
from separator.results.done import DoneItems
from separator.rows import (
    Asset,
    AssetBatch,
    Failed,
    Outcome,
    Remuxed,
    StemWritten,
    from_ray,
    to_ray,
)
from separator.run.actor import SeparateActor
from separator.run.cluster import choose_devices
from separator.run.local_ray import quiet_loggers
from separator.run.monitor import Monitor, MonitoredStage
from separator.run.prepare import Flow, Target
from separator.run.stats import ListingCounts, RunStats
from separator.run.trouble import TroubleCount
from separator.stages.collect import Assemble, Collector, Commit, Discard, Remux
from separator.stages.commit import Committer
from separator.stages.extract import Extractor
from separator.stages.listing import pack
from separator.stages.publish import Publisher
from separator.stages.remux import Remuxer

log = logging.getLogger(__name__)

SPANS_PER_ACTOR = 2  # on their way to it: the next one is there when one is done
MAX_PACKED, MAX_PACKED_BYTES = 16, 4 << 20  # assets of one row; about five minutes of sound
ASK_EVERY_S = 5.0
MAX_RETRIES = 2  # of a task whose worker died; Ray's default is for ever
LOST = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
)
CPU_TASK: dict[str, Any] = {"num_cpus": 1, "max_retries": MAX_RETRIES}


def run_flow(
    flow: Flow,
    done: DoneItems,
    is_again: bool,
    collector: Collector,
    committer: Committer,
    stats: RunStats,
    on_row: Callable[[Outcome], None],
) -> tuple[int, tuple[str, ...]]:
    """Execute the flow once over all that is not done; return how many assets never came out, and,
    if `is_again`, the URIs of all that went in.

    `is_again`: the assets were tried before; each goes alone, so that it takes no other along.
    """
    on_gpu, num_actors = choose_devices(flow.target.config)
    stats.begin_pass(num_actors, int(ray.cluster_resources().get("CPU", 0)))
    collector.drop_incomplete()
    num_closed = len(collector.closed)
    monitor = start_monitor(flow)
    lister = _Lister(flow.target, ray.put(done), monitor, is_again)
    driver = _Driver(flow, collector, committer, on_row)
    asked_at = 0.0
    for ray_row in make_dataset(flow, lister, monitor, on_gpu, num_actors).iter_rows():
        if not stats.assets_listed and time.monotonic() - asked_at > ASK_EVERY_S:
            asked_at = time.monotonic()
            stats.assets_listed = get_listing(monitor).assets
        driver.take(from_ray(ray_row))
        driver.take_finished(timeout_s=0)
    while driver.tasks:
        driver.take_finished(timeout_s=None)
    for code, text in ray.get(monitor.get_errors.remote()):
        raise find_error(code)(text)
    if bugs := ray.get(monitor.get_bugs.remote()):
        raise RuntimeError(f"{len(bugs)} bugs; the first of them:\n{bugs[0]}")
    counts = get_listing(monitor, has_ended=True)
    if counts.duplicates:
        log.warning("%d rows name an asset again; the first row counts", counts.duplicates)
    stats.assets_listed = counts.assets
    if not is_again:  # later, assets that this run has committed would count
        stats.assets_skipped, stats.assets_left = counts.skipped, counts.left
    return counts.assets - (len(collector.closed) - num_closed), counts.uris


def get_listing(monitor: Any, has_ended: bool = False) -> ListingCounts:
    """Ask for the counts of the first stage; all 0 while it is listing."""
    counts: Any = ray.get(monitor.get_listing.remote())
    if counts is None and has_ended:
        raise WorkerCrashed("the worker that lists the input died each time; see Ray's logs")
    return counts or ListingCounts(0, 0, 0, 0)


def make_dataset(
    flow: Flow, lister: "_Lister", monitor: Any, on_gpu: bool, num_actors: int
) -> ray.data.Dataset:
    quiet_loggers()
    # Ray 2.60 has no other way to limit how often a task is tried; it is pinned.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # an asset that kills its worker takes no other along
    context.target_max_block_size = 4 << 20  # a span is a block, short ones go together
    context.enable_progress_bars = False
    target = flow.target
    config = target.config
    extractor = Extractor(
        target.storage,
        target.layout,
        flow.spans,
        config.run.retry_failed,
        channels=config.model.channels,
        group=config.input.group,
    )
    actors = ray.data.ActorPoolStrategy(
        size=num_actors, max_tasks_in_flight_per_actor=SPANS_PER_ACTOR
    )
    return (
        ray.data.from_items([to_ray(AssetBatch(()))])
        .flat_map(MonitoredStage(monitor, lister), **CPU_TASK)
        .repartition(target_num_rows_per_block=1)
        .flat_map(MonitoredStage(monitor, _Unpack(extractor), with_samples=True), **CPU_TASK)
        .flat_map(
            SeparateActor,
            fn_constructor_args=(monitor, target.config),
            compute=actors,
            num_cpus=0,
            num_gpus=1 if on_gpu else 0,
            max_task_retries=MAX_RETRIES,
        )
        .flat_map(MonitoredStage(monitor, make_publisher(flow)), **CPU_TASK)
    )


def start_monitor(flow: Flow) -> Any:
    with_similarity = flow.target.config.output.similarity == "auto"
    encoder = flow.find_audio_encoder() if with_similarity else None
    shared = ray.put((flow.engine, dict(flow.conditions), encoder, flow.listening))
    # Beside the driver: where that node is lost, the run is lost anyway.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    monitor: Any = ray.remote(num_cpus=0)(Monitor)
    return monitor.options(scheduling_strategy=here).remote([shared])


def make_publisher(flow: Flow) -> Publisher:
    target = flow.target
    output = target.config.output
    renditions = output.edits.renditions
    return Publisher(target.storage, target.layout, output.encode, flow.run_id, renditions)


def make_remuxer(target: Target) -> Remuxer:
    output = target.config.output
    settings = MuxSettings(output.remux_codec, output.remux_bitrate_bps)
    return Remuxer(target.storage, target.layout, output.remux, settings)


class _Driver:
    """Takes outcomes, and carries out the commands of the collector."""

    def __init__(
        self,
        flow: Flow,
        collector: Collector,
        committer: Committer,
        on_row: Callable[[Outcome], None],
    ) -> None:
        self.collector, self.committer, self.on_row = collector, committer, on_row
        self.finishers = ray.put((make_publisher(flow), make_remuxer(flow.target)))
        self.start: Any = ray.remote(**CPU_TASK)(_finish)
        self.tasks: list[Any] = []
        self.trouble = TroubleCount()

    def take(self, outcome: Outcome) -> None:
        self.trouble.add(outcome)
        self.on_row(outcome)
        for command in self.collector.add(outcome):
            match command:
                case Commit():
                    self.committer.commit(command)
                case Discard():
                    self.committer.discard(command)
                case Assemble() | Remux():
                    self.tasks.append(self.start.remote(self.finishers, command))

    def take_finished(self, timeout_s: float | None) -> None:
        """Take the outcomes of tasks that have ended; without a timeout, of one at least."""
        if not self.tasks:
            return
        ready, self.tasks = ray.wait(self.tasks, timeout=timeout_s)
        for task in ready:
            # Where its worker died each time, the asset does not come out: it is run again.
            with contextlib.suppress(*LOST):
                self.take(ray.get(task))


def _finish(
    finishers: tuple[Publisher, Remuxer], command: Assemble | Remux
) -> StemWritten | Remuxed | Failed:
    publisher, remuxer = finishers
    return publisher.assemble(command) if isinstance(command, Assemble) else remuxer(command)


class _Lister:
    """The first stage: assets with work left to do, small ones packed into one row. One generator
    for the whole input."""

    def __init__(self, target: Target, done: ray.ObjectRef, monitor: Any, is_again: bool) -> None:
        self.target, self.done, self.monitor = target, done, monitor
        self.is_again = is_again

    def __call__(self, _: AssetBatch) -> Iterator[AssetBatch]:
        try:
            yield from self._list()
        except SeparatorError as error:  # the input cannot be listed any further
            ray.get(self.monitor.report_error.remote(error.code, str(error)))

    def _list(self) -> Iterator[AssetBatch]:
        done, listing = ray.get(self.done), self.target.list_assets()
        count = skipped = left = 0
        uris: list[str] = []

        def list_pending() -> Iterator[Asset]:
            nonlocal skipped, left
            for asset, pending in self.target.list_pending(done, listing):
                if pending is not None:
                    yield pending
                elif done.has_failed(asset):
                    left += 1
                else:
                    skipped += 1

        for assets in pack(list_pending(), 1 if self.is_again else MAX_PACKED, MAX_PACKED_BYTES):
            count += len(assets)
            if self.is_again:
                uris += [asset.uri for asset in assets]
            yield AssetBatch(assets)
        counts = ListingCounts(count, listing.num_duplicates, skipped, left, tuple(uris))
        ray.get(self.monitor.report_listing.remote(counts))


class _Unpack:
    """Extract the assets of a batch one after the other."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor

    def __call__(self, batch: AssetBatch) -> Iterator[Any]:
        for asset in batch.assets:
            yield from self.extractor(asset)
