"""The flow: requests -> extract -> separate -> publish -> commit. Order and resources, no content.

Ray replaces workers that die. An asset that keeps killing its workers is left out by Ray, not by
us: `run_flow` tells how many are missing, so that they can be run again, and recorded if need be.
"""

import contextlib
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
import ray.data
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from separator.audio.renditions import REMUX
from separator.config import JobConfig
from separator.errors import RequestError
from separator.media.mux import MuxSettings
from separator.results.paths import Layout
from separator.rows import AssetRow, DoneRow, SpanRow
from separator.run.cluster import count_cpus
from separator.run.monitor import FrontDesk, Told
from separator.stages.collect import Ledger
from separator.stages.commit import Committer
from separator.stages.extract import Extractor, SpanPlan
from separator.stages.listing import Known, list_assets, pack
from separator.stages.publish import Publisher
from separator.stages.remux import Remuxer
from separator.stages.work import Asked
from separator.storage import Storage

if TYPE_CHECKING:
    import torch

    from separator.encoders.similarity import AudioEncoder
    from separator.model.resunet import NetworkConfig

log = logging.getLogger(__name__)

IN_FLIGHT = 2  # spans on their way to an actor: the next is there when one is done
MOST_PACKED, MOST_PACKED_BYTES = 16, 4 << 20  # assets of one row; about five minutes of sound
ASK_EVERY_S = 5.0
MOST_RETRIES = 2  # of a task whose worker died; Ray's default is for ever
LOST = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
)


@dataclass(frozen=True)
class Flow:
    """Everything the stages need, made once by the driver."""

    run_id: str
    config: JobConfig
    storage: Storage
    layout: Layout
    asked: Asked
    plan: SpanPlan
    net_config: "NetworkConfig"
    weights: "Mapping[str, torch.Tensor]"
    conditions: Mapping[str, np.ndarray]
    find_encoder: "Callable[[], AudioEncoder | None]"  # that listens to stems


@dataclass
class Progress:
    """What one execution tells beside its rows."""

    num_listed: int = 0  # assets that went in; 0 while they are being listed
    num_twice: int = 0  # rows of a list that named an asset again
    num_skipped: int = 0  # assets that need nothing more
    num_actors: int = 0
    num_cpus: int = 0  # that Ray was told of, on all nodes
    started: float = field(default_factory=time.monotonic)

    def take(self, counts: tuple[int, int, int]) -> None:
        self.num_listed, self.num_twice, self.num_skipped = counts


def run_flow(
    flow: Flow,
    known: Known,
    is_again: bool,
    ledger: Ledger,
    committer: Committer,
    progress: Progress,
    see: Callable[[DoneRow], None],
) -> int:
    """One execution over all that is not known; how many assets went in and never came out.

    `is_again`: what has been tried before goes alone, so that it takes no other asset along.
    """
    encoder = flow.find_encoder() if flow.config.output.similarity == "auto" else None
    shared = ray.put((flow.net_config, dict(flow.weights), dict(flow.conditions), encoder))
    # Beside the driver: where it is lost, the run is lost anyway.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    front_desk: Any = ray.remote(num_cpus=0)(FrontDesk)
    desk: Any = front_desk.options(scheduling_strategy=here).remote([shared])
    assemble: Any = ray.remote(num_cpus=1, max_retries=MOST_RETRIES)(_assemble)
    finishers = ray.put((make_publisher(flow), make_remuxer(flow)))
    on_gpu, num_actors = choose_devices(flow.config)
    lister = _Lister(flow, ray.put(known), desk, 1 if is_again else MOST_PACKED)
    assembling: list[Any] = []
    ledger.forget_open()
    num_closed, asked_at = len(ledger.closed), 0.0
    progress.num_actors = num_actors
    progress.num_cpus = int(ray.cluster_resources().get("CPU", 0))

    def take(row: Any) -> None:
        nonlocal asked_at
        if not progress.num_listed and time.monotonic() - asked_at > ASK_EVERY_S:
            asked_at = time.monotonic()
            progress.take(ray.get(desk.get_counts.remote()))
        see(row)
        whole, records = ledger.add(row)
        if whole is not None:
            assembling.append(assemble.remote(finishers, whole))
        if records is not None:
            asset = json.loads(row["asset"])
            orphans = ledger.orphans.pop(asset["asset_uri"], ())
            committer.commit(asset, records, not row["records"], orphans)

    def take_assembled(reference: Any) -> None:
        # Where its worker died each time, the asset does not come out: it is run again.
        with contextlib.suppress(*LOST):
            take(ray.get(reference))

    for row in make_dataset(flow, lister, desk, on_gpu, num_actors).iter_rows():
        take(row)
        if assembling:
            ready, assembling = ray.wait(assembling, timeout=0)
            for reference in ready:
                take_assembled(reference)
    while assembling:
        take_assembled(assembling.pop(0))
    if bugs := ray.get(desk.get_bugs.remote()):
        raise RuntimeError(f"{len(bugs)} bugs; the first of them:\n{bugs[0]}")
    progress.take(ray.get(desk.get_counts.remote()))
    if progress.num_twice:
        log.warning("%d rows name an asset again; the first one counts", progress.num_twice)
    return progress.num_listed - (len(ledger.closed) - num_closed)


def make_dataset(
    flow: Flow, lister: "_Lister", desk: Any, on_gpu: bool, num_actors: int
) -> ray.data.Dataset:
    # Ray 2.60 has no other way to say how often a task is tried; it is pinned.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # what kills its worker takes nothing else along
    context.target_max_block_size = 4 << 20  # a span is a block, short ones go together
    context.enable_progress_bars = False
    extractor = Extractor(flow.storage, flow.layout, flow.plan, flow.config.run.retry_failed)
    cpu_task: dict[str, Any] = {"num_cpus": 1, "max_retries": MOST_RETRIES}
    return (
        ray.data.from_items([{"input": flow.config.input.uri}])
        .flat_map(Told(desk, lister), **cpu_task)
        .repartition(target_num_rows_per_block=1)
        .flat_map(Told(desk, _Unpacked(extractor)), **cpu_task)
        .flat_map(
            SeparateActor,
            fn_constructor_args=(desk, flow.config),
            compute=ray.data.ActorPoolStrategy(
                size=num_actors, max_tasks_in_flight_per_actor=IN_FLIGHT
            ),
            num_cpus=0,
            num_gpus=1 if on_gpu else 0,
            max_task_retries=MOST_RETRIES,
        )
        .flat_map(Told(desk, make_publisher(flow)), **cpu_task)
    )


def make_publisher(flow: Flow) -> Publisher:
    output = flow.config.output
    return Publisher(flow.storage, flow.layout, output.encode, flow.run_id, output.edits.renditions)


def choose_devices(config: JobConfig) -> tuple[bool, int]:
    """(on GPUs, how many actors): all GPUs of the cluster, else one actor a machine."""
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    is_wanted = config.model.device == "cuda"
    if is_wanted and not num_gpus and "RAY_ADDRESS" not in os.environ:
        raise RequestError("model.device='cuda': this machine has no GPU; use auto or cpu")
    # A cluster that grows has no GPU before one is asked for.
    on_gpu = is_wanted or (config.model.device == "auto" and num_gpus > 0)
    if config.run.actors != "auto":
        return on_gpu, int(config.run.actors)
    if on_gpu:
        return True, max(1, num_gpus)
    # A head without CPUs takes no work.
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0)]
    return False, max(1, len(nodes))


def make_remuxer(flow: Flow) -> Remuxer:
    output = flow.config.output
    settings = MuxSettings(output.remux_codec, output.remux_bitrate_bps)
    return Remuxer(flow.storage, flow.layout, output.remux, settings)


def _assemble(finishers: tuple[Publisher, Remuxer], whole: DoneRow) -> DoneRow:
    publisher, remuxer = finishers
    return remuxer(whole) if whole["kind"] == REMUX else publisher.assemble(whole)


class _Lister:
    """The first stage: what is asked for and not done, small assets packed into one row. One
    generator for the whole input."""

    def __init__(self, flow: Flow, known: ray.ObjectRef, desk: Any, most: int) -> None:
        self.storage, self.config, self.asked = flow.storage, flow.config, flow.asked
        self.known, self.desk, self.most = known, desk, most

    def __call__(self, _: Any) -> Iterator[dict[str, str]]:
        known, twice, count, skipped = ray.get(self.known), [], 0, 0

        def list_pending() -> Iterator[AssetRow]:
            nonlocal skipped
            for row in list_assets(self.storage, self.config, self.asked, twice):
                if (left := known.leave_out(row)) is not None:
                    yield left
                else:
                    skipped += 1

        for rows in pack(list_pending(), self.most, MOST_PACKED_BYTES):
            count += len(rows)
            yield {"assets": json.dumps(rows)}
        ray.get(self.desk.set_counts.remote(count, len(twice), skipped))


class _Unpacked:
    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor

    def __call__(self, row: dict[str, str]) -> Iterator[SpanRow]:
        for asset in json.loads(row["assets"]):
            yield from self.extractor(asset)


class SeparateActor:
    """The stage on one device, for as long as the run lasts."""

    def __init__(self, desk: Any, config: JobConfig) -> None:
        # Here, because the workers of the other stages import this module and need none of it.
        import torch

        from separator.encoders.similarity import SimilarityMeter
        from separator.stages.separate import SeparatorStage, make_engine

        (shared,) = ray.get(desk.share.remote())
        net_config, weights, conditions, encoder = ray.get(shared)
        if not torch.cuda.is_available():
            # Ray allows one thread per CPU it has promised, and this actor was promised none.
            torch.set_num_threads(count_cpus())
        engine = make_engine(net_config, weights, config.model)
        listener = None
        if encoder is not None:
            listener = SimilarityMeter(encoder, engine.device, engine.forward.precision)
        self.run = Told(desk, SeparatorStage(engine, conditions, config.output.edits, listener))

    def __call__(self, row: Any) -> Iterator[Any]:
        return self.run(row)
