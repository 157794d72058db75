"""One run of the job, from a checked config to records and a summary. Knows Ray's start and end."""

import itertools
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
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray

from separator import api
from separator.audio.renditions import RENDITION, STEM
from separator.config import JobConfig
from separator.errors import WorkerCrashed
from separator.model import registry
from separator.model.checkpoint import read_checkpoint
from separator.model.engine import choose_context
from separator.model.resunet import GRID_FRAMES
from separator.results.manifest import ManifestWriter, compact, find_done, find_failed
from separator.results.paths import Layout
from separator.results.schema import Record
from separator.rows import DoneRow
from separator.run.cluster import count_cpus
from separator.run.lock import FINISHED, STOPPED, Claim
from separator.run.pipeline import Flow, Progress, run_flow
from separator.stages import extract, publish, separate
from separator.stages.collect import Ledger
from separator.stages.commit import Committer
from separator.stages.listing import Known, collect_texts, list_assets
from separator.stages.work import make_asked
from separator.storage import Storage

log = logging.getLogger(__name__)

ROWS_PER_PART = 10_000
STAGES = ("extract", "separate", "publish")
QUICK_LOOK = 10_000  # assets that are looked through before anything is started
# Ray Data keeps CPUs for extracting and for publishing, also while one stage has nothing to do.
SPARE_CPUS = 2
CRASHED = "its worker died each time it was tried"


@dataclass
class Summary:
    """What a run did."""

    run_id: str
    phase: str = ""  # what the run is at, as the console says it
    assets: int = 0
    assets_listed: int = 0  # of this pass; 0 while they are being listed
    assets_failed: int = 0
    assets_known: int = 0  # committed by an earlier run that could not write its manifest
    assets_skipped: int = 0  # of those looked at, the ones that need nothing more
    stems: int = 0
    renditions: int = 0
    audio_s: float = 0.0
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    stage_s: Counter[str] = field(default_factory=Counter)
    num_actors: int = 0
    num_cpus: int = 0
    device_s: float = 0.0  # actors times the seconds they were there for

    @property
    def device_busy(self) -> float:
        """The share of its time that an actor spent on spans."""
        return self.stage_s["separate"] / self.device_s if self.device_s else 0.0


def run_job(config: JobConfig, see: Callable[[Summary], None]) -> Summary:
    """`see` is told whenever something has come out."""
    storage = Storage(config.storage)
    flow = prepare(config, storage)
    summary = Summary(flow.run_id)
    number, num_shards = config.parse_shard()
    shard = f"{number + 1}/{num_shards}" if config.run.shard else ""
    about = describe_code() | {"config": config.to_dict()}
    claim = Claim(storage, flow.layout, flow.run_id, shard, lambda: about | describe(summary))
    next(list_assets(storage, config, flow.asked), None)  # an input that is not there is told now
    claim.take()  # and an output that is taken, or cannot be written to
    try:
        known = find_known(flow)
        num_skipped = count_done(flow, known)
    except BaseException:
        claim.withdraw()
        raise
    state = STOPPED
    try:
        if num_skipped is None:
            run_passes(flow, known, summary, see, claim)
        else:
            summary.assets_skipped = num_skipped
        summary.phase = "finishing"
        see(summary)
        if claim.widen():
            compact(storage, flow.layout, summary.run_id)
            claim.check()
        state = FINISHED
    finally:
        summary.seconds = time.monotonic() - summary.started
        claim.end(state)
    return summary


def run_passes(
    flow: Flow, known: Known, summary: Summary, see: Callable[[Summary], None], claim: Claim
) -> None:
    """Until every asset has come out; those that never do get a record."""
    device_s, progress = 0.0, Progress()

    def see_records(records: Sequence[Record]) -> None:
        count(summary, records)
        see(summary)

    def see_row(row: DoneRow) -> None:
        claim.check()
        summary.phase = "separating"
        summary.assets_listed = progress.num_listed
        taken_s = (row["extract_s"], row["separate_s"], row["publish_s"])
        summary.stage_s.update(dict(zip(STAGES, taken_s, strict=True)))
        now = time.monotonic()
        summary.seconds = now - summary.started
        summary.num_actors = max(summary.num_actors, progress.num_actors)
        summary.num_cpus = max(summary.num_cpus, progress.num_cpus)
        summary.device_s = device_s + progress.num_actors * (now - progress.started)
        see(summary)

    about = {
        "run_id": summary.run_id,
        "model_name": flow.config.model.name,
        "checkpoint_sha256": flow.asked.settings["checkpoint"],
    }
    output = flow.config.output
    ledger = Ledger(about, output.residual, output.remux != "none")
    writer = ManifestWriter(flow.storage, flow.layout, summary.run_id, ROWS_PER_PART)
    with Committer(flow.storage, flow.layout, writer, see_records) as committer:
        for is_again in (False, True):
            now, device_s = known.add(committer.requests), summary.device_s
            progress = Progress()
            summary.phase = "starting Ray"
            see(summary)
            # Afresh: actors that keep dying would hold their device into the next pass.
            with started_ray():
                summary.phase = "warming up"
                see(summary)
                missing = run_flow(flow, now, is_again, ledger, committer, progress, see_row)
            if not is_again:  # later, what this run has done would count
                summary.assets_skipped = progress.num_skipped
            if not missing:
                return
        record_missing(flow, known.add(committer.requests), ledger, committer)


def find_known(flow: Flow) -> Known:
    run = flow.config.run
    done = find_done(flow.storage, flow.layout, run.retry_failed)
    return Known(done, find_failed(flow.storage, flow.layout) if run.only == "failed" else None)


def prepare(config: JobConfig, storage: Storage) -> Flow:
    """The checkpoint and the conditions of all queries, read once."""
    path = registry.resolve(config.model.name, storage.fetch)
    checkpoint = read_checkpoint(path)
    texts = collect_texts(storage, config)
    conditions_QD, warnings = api.encode_texts(
        texts, checkpoint.encoder_id, lambda: api.find_encoder(path, checkpoint.encoder_id)
    )
    for text, warning in warnings.items():
        log.warning("query %r: %s", text, warning)
    net = checkpoint.net.config
    context_frames = choose_context(config.model.context, net.rate_hz, net.hop)
    frame_s = Fraction(net.hop, net.rate_hz)
    return Flow(
        run_id=make_run_id(),
        config=config,
        storage=storage,
        layout=Layout(config.output.uri, config.output.format),
        asked=make_asked(config, checkpoint.sha256, warnings),
        plan=extract.SpanPlan(config.run.span_s, context_frames * frame_s, GRID_FRAMES * frame_s),
        net_config=net,
        weights=checkpoint.net.state_dict(),
        conditions=dict(zip(texts, conditions_QD, strict=True)),
        find_encoder=partial(api.find_audio_encoder, path, checkpoint.encoder_id),
    )


def count_done(flow: Flow, known: Known) -> int | None:
    """How many assets there are, where all of a short input is known to be done; None where Ray is
    worth starting."""
    assets = list_assets(flow.storage, flow.config, flow.asked)
    first = list(itertools.islice(assets, QUICK_LOOK))
    if len(first) == QUICK_LOOK or any(known.leave_out(row) for row in first):
        return None
    return len(first)


def record_missing(flow: Flow, known: Known, ledger: Ledger, committer: Committer) -> None:
    """Assets that went in and never came out, each time: a record says so."""
    for row in list_assets(flow.storage, flow.config, flow.asked):
        if pending := known.leave_out(row):
            error = WorkerCrashed(f"{row['asset_uri']}: {CRASHED}")
            span = extract.make_row(pending, error=error)
            stem = separate.make_row(span, separate.NOTHING)
            _, records = ledger.add(publish.make_row(stem, extract.NO_SAMPLES))
            if records:
                committer.commit(pending, records, is_new=True)


@contextmanager
def started_ray() -> Iterator[None]:
    """A Ray of our own, or the cluster that RAY_ADDRESS names; the next one starts afresh."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray warns of its own actor pools on every run; it reads this when it starts.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # torch's threads on a CPU wait for each other spinning, on cores that ffmpeg could use.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS", "local")
    num_cpus = count_cpus() + SPARE_CPUS if address == "local" else None
    ray.init(
        address,
        num_cpus=num_cpus,
        include_dashboard=False,  # a sixth of the time of a small run
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    # After ray.init, which has handlers of its own.
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
    made = Counter(record["kind"] for record in records if record["status"] == "ok")
    summary.stems += made[STEM]
    summary.renditions += made[RENDITION]
    tracks = {r["track_index"]: r["duration_s"] for r in records if r["status"] == "ok"}
    summary.audio_s += sum(tracks.values())
    for code in {record["error_code"] for record in failed}:
        summary.failures[code] += 1


def describe(summary: Summary) -> dict[str, Any]:
    totals = dict(vars(summary)) | {"failures": dict(summary.failures)}
    for name in ("run_id", "stage_s", "started", "phase"):
        del totals[name]
    return {
        "totals": totals,
        "device_busy": round(summary.device_busy, 3),
        "stage_seconds": {key: round(value, 3) for key, value in dict(summary.stage_s).items()},
    }


def describe_code() -> dict[str, Any]:
    return {
        "commit": find_commit(),
        "versions": {name: version(name) for name in ("separator", "torch", "ray", "pyarrow")},
        "machine": f"{platform.machine()}, {count_cpus()} CPUs (driver)",
    }


def find_commit() -> str | None:
    """Of the code that runs, where it is a checkout."""
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


def make_run_id() -> str:
    """Sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
