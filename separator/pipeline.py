"""The flow: requests -> extract -> separate -> publish -> commit. Order and resources, no content.

Ray replaces workers that die. An asset that keeps killing its workers is left out by Ray, not by
us: `run_flow` tells how many are missing, so that they can be run again, and recorded if need be.
"""

import json
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
import ray.data

from separator.commit import Committer
from separator.config import JobConfig
from separator.layout import Layout
from separator.ledger import Ledger
from separator.requests import Asked, leave_out_done, list_assets
from separator.rows import AssetRow, DoneRow
from separator.stages.extract import Extractor, SpanPlan
from separator.stages.publish import Publisher
from separator.storage import Storage

if TYPE_CHECKING:
    import torch

    from separator.model.resunet import NetworkConfig

IN_FLIGHT = 2  # spans on their way to an actor: the next is there when one is done
MOST_RETRIES = 2  # of a task whose worker died; Ray's default is for ever


@dataclass(frozen=True)
class Flow:
    """Everything the stages need, made once by the driver."""

    config: JobConfig
    storage: Storage
    layout: Layout
    asked: Asked
    plan: SpanPlan
    net_config: "NetworkConfig"
    weights: "Mapping[str, torch.Tensor]"
    conditions: Mapping[str, np.ndarray]


def run_flow(
    flow: Flow,
    done: np.ndarray,
    ledger: Ledger,
    committer: Committer,
    see: Callable[[DoneRow], None],
) -> int:
    """One execution over all that is not in `done`; how many assets went in and never came out."""
    shared = ray.put((flow.net_config, dict(flow.weights), dict(flow.conditions)))
    desk: Any = ray.remote(num_cpus=0)(FrontDesk).remote([shared])
    assemble: Any = ray.remote(num_cpus=1, max_retries=MOST_RETRIES)(_assemble)
    publisher = ray.put(make_publisher(flow))
    assembling: list[Any] = []
    num_closed = len(ledger.closed)

    def take(row: Any) -> None:
        see(row)
        whole, records = ledger.add(row)
        if whole is not None:
            assembling.append(assemble.remote(publisher, whole))
        if records is not None:
            committer.commit(json.loads(row["asset"]), records, is_new=not row["records"])

    for row in make_dataset(flow, done, desk).iter_rows():
        take(row)
        if assembling:
            ready, assembling = ray.wait(assembling, timeout=0)
            for reference in ready:
                take(ray.get(reference))
    while assembling:
        take(ray.get(assembling.pop(0)))
    num_listed, bugs = ray.get(desk.read.remote())
    if bugs:
        raise RuntimeError(f"{len(bugs)} bugs; the first of them:\n{bugs[0]}")
    return num_listed - (len(ledger.closed) - num_closed)


def make_dataset(flow: Flow, done: np.ndarray, desk: Any) -> ray.data.Dataset:
    # Ray 2.60 has no other way to say how often a task is tried; it is pinned.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # what kills its worker takes nothing else along
    context.target_max_block_size = 1 << 20  # a span is a block
    context.enable_progress_bars = False
    extractor = Extractor(flow.storage, flow.layout, flow.plan, flow.config.run.retry_failed)
    on_gpu, num_actors = choose_devices(flow.config)
    cpu_task: dict[str, Any] = {"num_cpus": 1, "max_retries": MOST_RETRIES}
    return (
        ray.data.from_items([{"input": flow.config.input.uri}])
        .flat_map(Told(desk, _Lister(flow, ray.put(done), desk)), **cpu_task)
        .repartition(target_num_rows_per_block=1)
        .flat_map(Told(desk, extractor), **cpu_task)
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
    return Publisher(flow.storage, flow.layout, flow.config.output.encode)


def choose_devices(config: JobConfig) -> tuple[bool, int]:
    """(on GPUs, how many actors): all GPUs of the cluster, else one actor a machine."""
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    on_gpu = config.model.device != "cpu" and num_gpus > 0
    if config.run.actors != "auto":
        return on_gpu, int(config.run.actors)
    return on_gpu, num_gpus if on_gpu else len([n for n in ray.nodes() if n["Alive"]])


def _assemble(publisher: Publisher, whole: DoneRow) -> DoneRow:
    return publisher.assemble(whole)


class _Lister:
    """The first stage: what is asked for and not done. One generator for the whole input."""

    def __init__(self, flow: Flow, done: ray.ObjectRef, desk: Any) -> None:
        self.storage, self.config, self.asked = flow.storage, flow.config, flow.asked
        self.done, self.desk = done, desk

    def __call__(self, _: Any) -> Iterator[AssetRow]:
        known, count = ray.get(self.done), 0
        for row in list_assets(self.storage, self.config, self.asked):
            for pending in leave_out_done([row], known):
                count += 1
                yield pending
        ray.get(self.desk.count.remote(count))


class SeparateActor:
    """The stage on one device, for as long as the run lasts."""

    def __init__(self, desk: Any, config: JobConfig) -> None:
        # Here, because the workers of the other stages import this module and need none of it.
        import torch

        from separator.model.engine import Engine
        from separator.model.resunet import ResUNet
        from separator.stages.separate import SeparatorStage

        (shared,) = ray.get(desk.share.remote())
        net_config, state, conditions = ray.get(shared)
        if not torch.cuda.is_available():
            # Ray allows one thread per CPU it has promised, and this actor was promised none.
            torch.set_num_threads(os.cpu_count() or 1)
        with torch.device("meta"):
            net = ResUNet(net_config)
        # Copied: what lies in the object store is read-only.
        net.load_state_dict({name: t.clone() for name, t in state.items()}, assign=True)
        model = config.model
        engine = Engine(
            net.eval().requires_grad_(False),
            model.device,
            model.precision,  # pyright: ignore[reportArgumentType] # checked in the config
            model.compile,  # pyright: ignore[reportArgumentType]
            model.channels,
            model.context,
        )
        self.run = Told(desk, SeparatorStage(engine, conditions))

    def __call__(self, row: Any) -> Iterator[Any]:
        return self.run(row)


class FrontDesk:
    """An actor that hears how many assets went in, and of every bug; and knows where the weights
    lie, once for every node."""

    def __init__(self, shared: list[ray.ObjectRef]) -> None:
        self.shared = shared
        self.num_listed = 0
        self.bugs: list[str] = []

    def share(self) -> list[ray.ObjectRef]:
        return self.shared

    def count(self, number: int) -> None:
        self.num_listed += number

    def complain(self, text: str) -> None:
        self.bugs.append(text)

    def read(self) -> tuple[int, list[str]]:
        return self.num_listed, self.bugs


class Told:
    """A stage whose bugs are told to the desk: with `max_errored_blocks` they would go unheard."""

    def __init__(self, desk: Any, stage: Callable[[Any], Iterator[Any]]) -> None:
        self.desk, self.stage = desk, stage

    def __call__(self, row: Any) -> Iterator[Any]:
        with _Telling(self.desk):
            yield from self.stage(row)


class _Telling:
    def __init__(self, desk: Any) -> None:
        self.desk = desk

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, Exception):
            ray.get(self.desk.complain.remote("".join(traceback.format_exception(error))))
