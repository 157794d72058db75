"""Run the flow on Ray Data: list -> extract -> separate -> publish -> commit.

`make_dataset` shows the flow on one screen. Ray replaces workers that die, and silently drops an
asset that keeps killing its workers. `run_flow` therefore returns the number of missing assets, so
that the caller can run them again or record them as failed.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import ray
import ray.data
import ray.data.exceptions
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from separator.config import JobConfig
from separator.errors import NoProgress, find_error
from separator.media.mux import MuxSettings
from separator.results.done import DoneItems
from separator.rows import (
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
from separator.run.devices import DeviceHealth
from separator.run.lister import Lister, Unpack, get_listing
from separator.run.local_ray import quiet_loggers
from separator.run.monitor import Monitor, MonitoredStage, raise_bugs
from separator.run.placement import (
    EXTRACT,
    PUBLISH,
    SEPARATE,
    Requests,
    choose_spans_at_once,
    make_requests,
)
from separator.run.prepare import Flow, Target
from separator.run.stats import RunStats
from separator.run.trouble import TroubleCount
from separator.run.watch import Watch
from separator.stages.collect import Assemble, Collector, Commit, Discard, Remux
from separator.stages.commit import Committer
from separator.stages.extract import Extractor
from separator.stages.publish import Publisher
from separator.stages.remux import Remuxer

log = logging.getLogger(__name__)

MAX_RETRIES = 2  # of a task whose worker died; by default Ray Data retries for ever
LOST = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
)


def run_flow(
    flow: Flow,
    done: DoneItems,
    is_retry: bool,
    collector: Collector,
    committer: Committer,
    stats: RunStats,
    on_row: Callable[[Outcome | None], None],
) -> tuple[int, tuple[str, ...]]:
    """Execute the flow once over all pending assets; return how many of them never came out and,
    if `is_retry`, the versions of all that went in.

    `is_retry`: this pass repeats an earlier one. Each asset is then a row of its own, so that an
    asset that kills its worker takes no other asset along.
    """
    config = flow.target.config
    on_gpu, *num_actors = choose_devices(config, len(stats.devices.left_out))
    requests = make_requests(config.run, on_gpu, ray.nodes())
    stats.begin_pass(num_actors[1], int(ray.cluster_resources().get("CPU", 0)))
    collector.drop_incomplete()
    num_closed = len(collector.closed)
    monitor = start_monitor(flow, stats.devices)
    lister = Lister(flow.target, ray.put(done), monitor, is_retry)
    driver = _Driver(flow, collector, committer, on_row, requests[PUBLISH])
    at_once = choose_spans_at_once(config.run.separate, on_gpu, flow.can_share)
    dataset = make_dataset(flow, lister, monitor, requests, num_actors, at_once)
    dataset.set_name(f"separator_{flow.run_id}")
    with Watch(monitor, stats, requests, num_actors[0], lambda: on_row(None)) as watch:
        try:
            for ray_row in dataset.iter_rows():
                watch.note_row()
                driver.take(from_ray(ray_row))
                driver.take_finished(timeout_s=0)
        except ray.data.exceptions.ExecutionTimeoutError:
            raise NoProgress(describe_stall(config, stats)) from None
        while driver.tasks:
            driver.take_finished(timeout_s=None)
    stats.ray_data.append(dataset.stats())
    for code, text in ray.get(monitor.get_errors.remote()):
        raise find_error(code)(text)
    raise_bugs(monitor)
    counts = get_listing(monitor, has_ended=True)
    if counts.duplicates:
        log.warning("%d rows name an asset again; the first row counts", counts.duplicates)
    stats.note_listing(counts)
    if not is_retry:  # in later passes the counts include assets that this run has committed
        stats.assets_skipped, stats.assets_left = counts.skipped, counts.left
    return counts.assets - (len(collector.closed) - num_closed), counts.versions


def describe_stall(config: JobConfig, stats: RunStats) -> str:
    reason = stats.waiting or "a worker hangs; see Ray's logs"
    return f"nothing has moved for run.no_progress_s={config.run.no_progress_s:g} seconds: {reason}"


def make_dataset(
    flow: Flow, lister: Lister, monitor: Any, requests: Requests, pool_size: list[int], at_once: int
) -> ray.data.Dataset:
    quiet_loggers()
    # Ray 2.60 has no other way to limit how often a task is tried; it is pinned.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # an asset that kills its worker does not end the run
    context.target_max_block_size = 4 << 20  # one span makes a block; short spans share one
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []  # the run itself says what it waits for
    target = flow.target
    config = target.config
    context.execution_no_progress_timeout_s = config.run.no_progress_s
    context.max_consecutive_actor_init_deaths = MAX_RETRIES
    extractor = Extractor(
        target.storage,
        target.layout,
        flow.spans,
        config.run.retry_failed,
        channels=config.model.channels,
        group=config.input.group,
    )
    actors = ray.data.ActorPoolStrategy(
        min_size=pool_size[0],
        max_size=pool_size[1],
        max_tasks_in_flight_per_actor=at_once + 1,  # one span waits at the actor as the next
        max_concurrent_calls_per_actor=at_once,
        enable_true_multi_threading=at_once > 1,
    )
    retries = {"max_retries": MAX_RETRIES}
    extract, publish = {**requests[EXTRACT], **retries}, {**requests[PUBLISH], **retries}
    return (
        ray.data.from_items([to_ray(AssetBatch(()))])
        .flat_map(List(monitor, lister), **extract)
        .repartition(target_num_rows_per_block=1)
        .flat_map(Extract(monitor, Unpack(extractor), with_samples=True), **extract)
        .flat_map(
            SeparateActor,
            fn_constructor_args=(monitor, target.config, at_once > 1),
            compute=actors,
            max_task_retries=MAX_RETRIES,
            **requests[SEPARATE],
        )
        .flat_map(Publish(monitor, make_publisher(flow)), **publish)
    )


# Ray names stages by their classes: in its dashboard, its metrics and its logs.
class List(MonitoredStage): ...


class Extract(MonitoredStage): ...


class Publish(MonitoredStage): ...


def start_monitor(flow: Flow, health: DeviceHealth) -> Any:
    with_similarity = flow.target.config.output.similarity == "auto"
    encoder = flow.find_audio_encoder() if with_similarity else None
    shared = ray.put((flow.engine, dict(flow.conditions), encoder, flow.listening))
    # The monitor runs on the driver's node: if that node is lost, so is the run.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    monitor: Any = ray.remote(num_cpus=0)(Monitor)
    return monitor.options(scheduling_strategy=here).remote([shared], health)


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
    """Pass outcomes to the collector, and carry out the commands that it returns."""

    def __init__(
        self,
        flow: Flow,
        collector: Collector,
        committer: Committer,
        on_row: Callable[[Outcome | None], None],
        request: Mapping[str, Any],
    ) -> None:
        self.collector, self.committer, self.on_row = collector, committer, on_row
        self.finishers = ray.put((make_publisher(flow), make_remuxer(flow.target)))
        self.start: Any = ray.remote(**request, max_retries=MAX_RETRIES)(_finish)
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
        """Take the outcomes of finished tasks; with `timeout_s=None`, wait for at least one."""
        if not self.tasks:
            return
        ready, self.tasks = ray.wait(self.tasks, timeout=timeout_s)
        for task in ready:
            # If its worker died each time, the asset stays incomplete: the next pass runs it.
            with contextlib.suppress(*LOST):
                self.take(ray.get(task))


def _finish(
    finishers: tuple[Publisher, Remuxer], command: Assemble | Remux
) -> StemWritten | Remuxed | Failed:
    publisher, remuxer = finishers
    return publisher.assemble(command) if isinstance(command, Assemble) else remuxer(command)
