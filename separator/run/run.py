"""Run the job from start to end: a checked config in, records, a manifest and totals out.

Heavy imports wait until they are needed: a run with nothing to do starts neither Ray nor torch.
"""

import itertools
import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from multiprocessing.pool import AsyncResult, ThreadPool
from pathlib import Path
from typing import Any, TypeVar

from separator.config import JobConfig
from separator.errors import SeparatorError, StorageError, WorkerCrashed, find_error
from separator.machine import count_cpus, share_heaps
from separator.media.formats import list_media_patterns
from separator.results.compact import compact
from separator.results.done import DoneItems
from separator.results.manifest import ManifestWriter, list_runs
from separator.results.refuse import refuse_files
from separator.results.schema import Record
from separator.results.withdrawn import list_marks
from separator.rows import NO_TRACK, Asset, Outcome, fail
from separator.run.cluster import started_ray
from separator.run.lock import RunLock
from separator.run.others import check_precision, list_former_detection
from separator.run.prepare import (
    Target,
    load_flow,
    make_detection_config,
    prepare_target,
    warn_of_queries,
)
from separator.run.run_file import FINISHED, STOPPED, RunFile
from separator.run.run_id import follow_runs, make_run_id
from separator.run.stats import STARTING_RAY, WARMING, RunStats
from separator.run.status import check_output
from separator.stages.collect import Collector, Commit, name_version
from separator.stages.commit import Committer
from separator.storage import Storage

log = logging.getLogger(__name__)

ROWS_PER_PART = 10_000
QUICK_LOOK = 10_000  # an input with fewer assets is listed in full before Ray starts
MAX_PASSES = 4  # a first one, a retry, and more retries only if devices failed
CRASHED = "its worker died each time it was tried"

OnProgress = Callable[[RunStats], None]
Out = TypeVar("Out")


def run_job(config: JobConfig, on_progress: OnProgress, is_detection: bool = False) -> RunStats:
    """Run the job until all work is done; return its totals. `on_progress` is called with them
    whenever they may have changed. `is_detection`: only find out where queries are heard."""
    stats = RunStats(make_run_id())
    on_progress(stats)
    storage = Storage(config.storage)
    if is_detection:
        config = make_detection_config(config)
    target = prepare_target(config, storage, is_detection)
    refuse_files(storage, target.layout)
    if config.run.only == "failed":
        check_output(storage, target.layout)
    shard = config.run.name_shard()
    about = describe_code() | {
        "config": config.to_dict(),
        "precision": target.config.model.precision,
    }
    layout = target.layout
    run_id = stats.run_id = follow_runs(stats.run_id, list_runs(storage, layout))
    run_file = RunFile(storage, layout.run(run_id), run_id, shard, lambda: about | stats.to_dict())
    lock = RunLock(storage, layout.lock(), run_id, shard, run_file.write)
    next(iter(target.list_assets()), None)  # a missing input is reported before the lock is taken
    lock.acquire()
    state = ""
    try:
        run_file.write()
        check_precision(target, config.model.precision, lock.list_earlier())
        target = replace(target, marked=list_marks(storage, layout))
        done = target.find_done()
        pending = look_through(target, done, stats)
        state = STOPPED
        if pending is None or pending:
            process(target, done, pending, stats, on_progress, lock)
        warn_of_former_detection(target, stats)
        warn_of_empty_input(config, done, stats)
        stats.finish()
        on_progress(stats)
        if lock.try_alone():
            compact(storage, layout, run_id)
            lock.check()
        state = FINISHED
    except SeparatorError:
        if not stats.has_results:  # a bad request, such as a missing encoder, leaves no run file
            state = ""
        raise
    finally:
        stats.finish()
        lock.release()  # first, for it ends the heartbeat, which writes the run file
        end_run_file(run_file, state)
    return stats


def warn_of_former_detection(target: Target, stats: RunStats) -> None:
    former = list_former_detection(target, stats.run_id) if stats.assets_skipped else []
    if former:
        log.warning(
            "what was done before keeps the presence that was found with %s; `separator detect`"
            " listens again with the settings of now, and `find` takes the later result",
            ", ".join(former),
        )


def warn_of_empty_input(config: JobConfig, done: DoneItems, stats: RunStats) -> None:
    """Warn if the input holds no media but earlier runs found some: its disk may be unmounted."""
    has_pattern = config.input.include != list_media_patterns()
    is_empty = not (stats.assets or stats.assets_skipped or stats.assets_left)
    if is_empty and len(done.done) and not has_pattern and config.run.only != "failed":
        log.warning(
            "input.uri=%r: holds no media, and earlier runs on this output found some; is its disk"
            " there?",
            config.input.uri,
        )


def end_run_file(run_file: RunFile, state: str) -> None:
    """Write the final state, or delete the run file of a run that could not begin (empty state).

    A storage error is only logged if the run failed: raising it would hide the first error.
    """
    try:
        if state:
            run_file.write(state)
        else:
            run_file.delete()
    except StorageError as error:
        if state == FINISHED:
            raise
        log.warning("the run file was not written: %s", error)


def process(
    target: Target,
    done: DoneItems,
    pending: list[Asset] | None,
    stats: RunStats,
    on_progress: OnProgress,
    lock: RunLock,
) -> None:
    """Process pending assets until all have records. `pending`: None if the input is long."""

    def on_commit(records: Sequence[Record]) -> None:
        stats.count_records(records)
        on_progress(stats)

    run_columns = {
        "run_id": stats.run_id,
        "model_name": target.config.model.name,
        "checkpoint_sha256": target.work.checkpoint_sha256,
    }
    output = target.config.output
    with_remux = output.remux != "none"
    rule = target.config.detect.rule
    collector = Collector(run_columns, output.residual, with_remux, done.last_commit_us, rule)
    writer = ManifestWriter(target.storage, target.layout, stats.run_id, ROWS_PER_PART)
    committing = Committer(
        target.storage, target.layout, writer, on_commit, lock.check, target.marked
    )
    with committing as committer:
        if pending is not None and all(asset.trouble for asset in pending):
            for asset in pending:  # nothing to work on: Ray need not start
                error = find_error(asset.trouble_code)(asset.trouble)
                commit_failure(asset, error, collector, committer)
        else:
            run_passes(target, done, collector, committer, stats, on_progress, lock)
    if committer.num_disambiguated:
        log.warning(
            "%d assets have the path of another asset, of another library say: their folders below"
            " stems/ end in %% and a hash",
            committer.num_disambiguated,
        )


def run_passes(
    target: Target,
    done: DoneItems,
    collector: Collector,
    committer: Committer,
    stats: RunStats,
    on_progress: OnProgress,
    lock: RunLock,
) -> None:
    """Run passes until every asset is committed; record assets that keep failing as crashed."""
    from separator.run.pipeline import run_flow

    def on_row(outcome: Outcome | None) -> None:
        lock.check()
        if outcome is not None:
            stats.count_row(outcome)
        on_progress(stats)

    share_heaps()  # Ray starts 40 threads in this process
    # While Ray starts, read the weights and encode example sounds, once for all passes.
    loading = run_in_thread(partial(load_flow, target, stats.run_id))
    versions: tuple[str, ...] = ()
    for number in range(MAX_PASSES):
        is_retry, num_sick = number > 0, stats.devices.failures.total()
        now = done.add(committer.find_done())
        stats.phase = STARTING_RAY
        on_progress(stats)
        # A fresh Ray for each pass: actors that keep dying would hold their device into the next.
        with started_ray():
            flow = loading.get()
            warn_of_queries(flow.target.work)
            stats.phase = WARMING
            on_progress(stats)
            missing, versions = run_flow(flow, now, is_retry, collector, committer, stats, on_row)
        if not missing:
            return
        if is_retry and stats.devices.failures.total() == num_sick:
            break  # no device failed in this pass: another pass would not help
    tried, now = set(versions), done.add(committer.find_done())
    for asset in target.list_assets():
        if name_version(asset) in tried and (left := now.select_pending(asset)):
            error = WorkerCrashed(f"{asset.uri}: {CRASHED}")
            commit_failure(left, error, collector, committer)


def run_in_thread(function: Callable[[], Out]) -> "AsyncResult[Out]":
    """Call a function in a thread that the end of the process does not wait for."""
    pool = ThreadPool(1)  # its threads are daemons
    result = pool.apply_async(function)
    pool.close()
    return result


def look_through(target: Target, done: DoneItems, stats: RunStats) -> list[Asset] | None:
    """List the pending assets of a short input, and count the others; None if it is long."""
    first = list(itertools.islice(iter(target.list_assets()), QUICK_LOOK))
    if len(first) == QUICK_LOOK:
        return None
    pending = []
    for asset, each in target.list_pending(done, first, settle=True):
        if each is not None:
            pending.append(each)
        elif done.has_failed(asset):
            stats.assets_left += 1
        else:
            stats.assets_skipped += 1
    return pending


def commit_failure(
    asset: Asset, error: SeparatorError, collector: Collector, committer: Committer
) -> None:
    """Record an asset as failed as a whole, without running the flow on it."""
    for command in collector.add(fail((asset, NO_TRACK, 1), error, "extract")):
        assert isinstance(command, Commit)
        committer.commit(command)


def describe_code() -> dict[str, Any]:
    return {
        "commit": find_commit(),
        "versions": {name: version(name) for name in ("separator", "torch", "ray", "pyarrow")},
        "machine": f"{platform.machine()}, {count_cpus()} CPUs (driver)",
    }


def find_commit() -> str | None:
    """Find the git commit of the running code; None if it is not a checkout."""
    git = Path(__file__).parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        loose = git / head[5:]
        if loose.exists():
            return loose.read_text().strip()
        packed = (git / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {head[5:]}")), None)
    except OSError:  # installed from a wheel, say
        return None
