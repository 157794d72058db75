"""One run of the job, from a checked config to records and a summary. Knows Ray's start and end."""

import itertools
import json
import logging
import os
import platform
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np

from separator import api
from separator.commit import Committer
from separator.config import JobConfig
from separator.errors import WorkerCrashed
from separator.layout import Layout
from separator.ledger import Ledger
from separator.manifest import ManifestWriter, compact, find_done, hash_requests
from separator.model import registry
from separator.model.checkpoint import read_checkpoint
from separator.model.engine import choose_context
from separator.model.resunet import GRID_FRAMES
from separator.pipeline import Flow, run_flow
from separator.requests import leave_out_done, list_assets, make_asked
from separator.rows import DoneRow, Record
from separator.stages import extract, publish, separate
from separator.storage import Storage

log = logging.getLogger(__name__)

ROWS_PER_PART = 10_000
PASSES = 2  # what is missing after these was taken along by a worker that died
QUICK_LOOK = 10_000  # assets that are looked through before anything is started
CRASHED = "its worker died each time it was tried"


class Watcher(Protocol):
    """Who is told of progress."""

    def see_row(self, row: DoneRow) -> None: ...
    def see_records(self, records: Sequence[Record]) -> None: ...


@dataclass
class Summary:
    """What a run did."""

    run_id: str
    assets: int = 0
    assets_failed: int = 0
    assets_known: int = 0  # committed by an earlier run that could not write its manifest
    stems: int = 0
    audio_s: float = 0.0
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    stage_s: Counter[str] = field(default_factory=Counter)


def run_job(config: JobConfig, watcher: Watcher) -> Summary:
    storage = Storage(config.storage)
    flow = prepare(config, storage)
    started, summary = time.monotonic(), Summary(make_run_id())
    about = {
        "run_id": summary.run_id,
        "model_name": config.model.name,
        "checkpoint_sha256": flow.asked.settings["checkpoint"],
    }
    done = find_done(storage, flow.layout, config.run.retry_failed)
    is_pending = has_work(flow, done)  # reads the input: what is not there is told now
    write_run(flow, summary, "running")  # and an output that cannot be written to
    writer = ManifestWriter(storage, flow.layout, summary.run_id, ROWS_PER_PART)
    ledger = Ledger(about)

    def see_row(row: DoneRow) -> None:
        taken_s = (row["extract_s"], row["separate_s"], row["publish_s"])
        summary.stage_s.update(dict(zip(("extract", "separate", "publish"), taken_s, strict=True)))
        watcher.see_row(row)

    def see_records(records: Sequence[Record]) -> None:
        count(summary, records)
        watcher.see_records(records)

    state = "stopped"
    try:
        with Committer(storage, flow.layout, writer, see_records) as committer:
            if is_pending:
                run_passes(flow, done, ledger, committer, see_row)
        compact(storage, flow.layout, summary.run_id)
        state = "finished"
    finally:
        summary.seconds = time.monotonic() - started
        write_run(flow, summary, state)
    return summary


def run_passes(
    flow: Flow,
    done: np.ndarray,
    ledger: Ledger,
    committer: Committer,
    see: Callable[[DoneRow], None],
) -> None:
    """Until every asset has come out; those that never do get a record."""
    for _ in range(PASSES):
        now = np.union1d(done, hash_requests(sorted(committer.requests)))
        # Afresh: actors that keep dying would hold their device into the next pass.
        with started_ray():
            if not run_flow(flow, now, ledger, committer, see):
                return
    record_missing(flow, done, ledger, committer)


def prepare(config: JobConfig, storage: Storage) -> Flow:
    """The checkpoint and the conditions of all queries, read once."""
    path = registry.resolve(config.model.name, storage.fetch)
    checkpoint = read_checkpoint(path)
    texts = [query.text for query in config.parse_queries()]
    conditions_QD, warnings = api.encode_texts(
        texts, checkpoint.encoder_id, lambda: api.find_encoder(path, checkpoint.encoder_id)
    )
    for text, warning in warnings.items():
        log.warning("query %r: %s", text, warning)
    net = checkpoint.net.config
    context_frames = choose_context(config.model.context, net.rate_hz, net.hop)
    frame_s = Fraction(net.hop, net.rate_hz)
    return Flow(
        config=config,
        storage=storage,
        layout=Layout(config.output.uri, config.output.format),
        asked=make_asked(config, checkpoint.sha256, warnings),
        plan=extract.SpanPlan(config.run.span_s, context_frames * frame_s, GRID_FRAMES * frame_s),
        net_config=net,
        weights=checkpoint.net.state_dict(),
        conditions=dict(zip(texts, conditions_QD, strict=True)),
    )


def has_work(flow: Flow, done: np.ndarray) -> bool:
    """Whether Ray is worth starting: false only where all of a short input is known to be done."""
    assets = list_assets(flow.storage, flow.config, flow.asked)
    first = list(itertools.islice(assets, QUICK_LOOK))
    return len(first) == QUICK_LOOK or bool(leave_out_done(first, done))


def record_missing(flow: Flow, done: np.ndarray, ledger: Ledger, committer: Committer) -> None:
    """Assets that went in and never came out, each time: a record says so."""
    now = np.union1d(done, hash_requests(sorted(committer.requests)))
    for row in list_assets(flow.storage, flow.config, flow.asked):
        for pending in leave_out_done([row], now):
            error = WorkerCrashed(f"{row['asset_uri']}: {CRASHED}")
            span = extract.make_row(pending, error=error)
            stem = separate.make_row(span, "", extract.NO_SAMPLES)
            _, records = ledger.add(publish.make_row(stem, extract.NO_SAMPLES))
            if records:
                committer.commit(pending, records, is_new=True)


@contextmanager
def started_ray() -> Iterator[None]:
    """A Ray of our own, or the cluster that RAY_ADDRESS names; the next one starts afresh."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray warns of its own actor pools on every run; it has to be told before it is imported.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS", "local")
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    # After ray.init, which has handlers of its own. What is finished is committed on the way out.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        ray.shutdown()


def count(summary: Summary, records: Sequence[Record]) -> None:
    failed = [record for record in records if record["status"] == "failed"]
    summary.assets += 1
    summary.assets_failed += bool(failed)
    summary.assets_known += records[0]["run_id"] != summary.run_id
    summary.stems += len(records) - len(failed)
    tracks = {r["track_index"]: r["duration_s"] for r in records if r["status"] == "ok"}
    summary.audio_s += sum(tracks.values())
    for code in {record["error_code"] for record in failed}:
        summary.failures[code] += 1


def write_run(flow: Flow, summary: Summary, state: str) -> None:
    content: dict[str, Any] = {
        "run_id": summary.run_id,
        "state": state,
        "config": flow.config.to_dict(),
        "versions": {name: version(name) for name in ("separator", "torch", "ray", "pyarrow")},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs (driver)",
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "totals": {
            key: value
            for key, value in vars(summary).items()
            if isinstance(value, int | float) or key == "failures"
        },
        "stage_seconds": {key: round(value, 3) for key, value in summary.stage_s.items()},
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    flow.storage.write(flow.layout.run(summary.run_id), text.encode("utf-8", "surrogateescape"))


def make_run_id() -> str:
    """Sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
