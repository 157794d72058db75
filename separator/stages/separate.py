"""Separate spans into stems on one device, and make residuals and renditions of the stems.

Knows the engine and rows, neither storage nor files.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from threading import Lock
from typing import ClassVar

import numpy as np
import torch

from separator.audio.renditions import Editor, Edits, Product
from separator.audio.spans import Span
from separator.config import ModelSettings
from separator.encoders.similarity import SimilarityMeter
from separator.errors import AudioError, RequestError
from separator.model.device import choose_device
from separator.model.engine import Engine
from separator.model.memory import choose_budget
from separator.model.networks import Config, make_network
from separator.model.outside import OutsideEngine
from separator.model.registry import find_package
from separator.model.track import TrackSeparator
from separator.rows import (
    NO_SAMPLES,
    RENDITION,
    RESIDUAL,
    STEM,
    AlreadyDone,
    Failed,
    Seconds,
    SpanRow,
    StemRow,
    WorkItem,
    fail,
)
from separator.stages.gate import Gate
from separator.stages.listen import Listener, Listening, find_span


class End:
    """Mark the end of the stems: `None` cannot, as it is a silent stem."""


END = End()
EVERYWHERE, NOWHERE = [(0.0, math.inf)], [(-2.0, -1.0)]  # times in a track


class Stopwatch:
    """Measure the time that the device is at work, without the later work on the stems.

    All threads share one stopwatch: time during which several wait for the device counts once.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._num_waiting = 0
        self._seconds = self._since = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._count()
            self._num_waiting += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count()
            self._num_waiting -= 1

    def _count(self) -> None:
        now = time.monotonic()
        if self._num_waiting:
            self._seconds += now - self._since
        self._since = now

    def time_each(self, stems: Iterator[torch.Tensor | None]) -> Iterator[torch.Tensor | None]:
        """Pass stems on, and count the time until each of them arrives."""
        while True:
            with self:
                stem_CT = next(stems, END)
            if isinstance(stem_CT, End):
                return
            yield stem_CT

    def take_seconds(self) -> float:
        """Return the seconds counted since the last call."""
        with self._lock:
            self._count()
            seconds, self._seconds = self._seconds, 0.0
        return seconds


class SeparatorStage:
    """Hold the engine, and separate spans with one stem in memory at a time. If the engine is
    shared, several threads may each work on a span."""

    def __init__(
        self,
        engine: TrackSeparator,
        conditions: Mapping[str, np.ndarray],
        edits: Edits | None = None,
        meter: SimilarityMeter | None = None,
        listener: Listener | None = None,
        is_gated: bool = False,
    ) -> None:
        """`conditions`: (D,) by `WorkItem.condition`. `meter` measures the similarity of stems.
        `listener` says where queries are heard; `is_gated`: separate queries only there."""
        self.engine = engine
        self.conditions = conditions
        self.edits = edits or Edits()
        self.meter = meter
        self.listener, self.is_gated = listener, is_gated
        self.watch = Stopwatch()

    def __call__(
        self, row: SpanRow | Failed | AlreadyDone
    ) -> Iterator[StemRow | Failed | AlreadyDone]:
        if not isinstance(row, SpanRow):
            yield row
            return
        try:
            yield from self._separate(row)
        except AudioError as error:  # NaN in the samples, say
            yield fail(row.of(), error, "separate", seconds=row.seconds)

    def _separate(self, row: SpanRow) -> Iterator[StemRow]:
        watch, rate_hz = self.watch, row.track.rate_hz
        samples_CT = torch.tensor(row.samples)  # copied: the samples of a row are read-only
        span = find_span(row)
        core_CT = samples_CT[:, span.core].numpy()
        energy_in = float(np.square(core_CT, dtype=np.float64).sum())
        stem_items = [item for item in row.asset.items if item.kind == STEM]
        conditions = {item.name: self.conditions[item.condition] for item in stem_items}
        keys = {item.name: item.condition for item in stem_items}
        with watch:
            heard = self._listen(samples_CT, rate_hz, span, stem_items)
        editor = Editor(core_CT, span.core_start, rate_hz, self._choose_edits(row, heard))
        opened = {name: each.opened for name, each in heard.items()} if self.is_gated else {}
        gate = Gate(self.engine, samples_CT, rate_hz, span)
        stems = gate.separate(conditions, opened)
        extract_s = row.seconds.extract
        for number, product in enumerate(edit(editor, conditions, watch.time_each(stems))):
            with watch:
                similarity = self._compare(product, rate_hz, conditions)
                own = heard.get(product.name) if product.kind == STEM else None
                note = own and own.heard
                if note is None and product.kind == STEM and self.listener:
                    key = keys[product.name]
                    note = self.listener.judge_stem(key, product.samples, core_CT, rate_hz, span)
            # For the collector, one row of each span carries all items of the asset.
            asset = row.asset.keep_item(product.name) if number else row.asset
            yield StemRow(
                asset,
                row.track,
                row.num_tracks,
                kind=product.kind,
                name=product.name,
                number=row.number,
                is_last=row.is_last,
                samples=NO_SAMPLES if product.is_silent else product.samples,
                num_silent=core_CT.shape[1] if product.is_silent else 0,
                heard=note,
                null_error=product.null_error,
                similarity=similarity,
                energy_in=energy_in,
                repairs=row.repairs,
                seconds=Seconds(extract=extract_s, separate=watch.take_seconds()),
            )
            extract_s = 0.0  # counted once

    def _listen(
        self, samples_CT: torch.Tensor, rate_hz: int, span: Span, items: list[WorkItem]
    ) -> dict[str, Listening]:
        """Listen for the queries of work items; return what was heard by their names."""
        if self.listener is None:
            return {}
        conditions = {item.condition: self.conditions[item.condition] for item in items}
        found = self.listener.listen(samples_CT, rate_hz, span, conditions)
        return {item.name: found[item.condition] for item in items if item.condition in found}

    def _choose_edits(self, row: SpanRow, heard: Mapping[str, Listening]) -> Edits:
        """Take the renditions that are wanted of this asset, with the times at which they apply."""
        names = row.asset.list_names(RENDITION)
        renditions = []
        for rendition in self.edits.renditions:
            if rendition.name not in names:
                continue
            if rendition.where_heard:
                # A query that nothing listened for counts as heard everywhere.
                times = [heard[q].near if q in heard else EVERYWHERE for q in rendition.gains]
                rendition = replace(rendition, within_s=list(chain(*times)) or NOWHERE)
            renditions.append(rendition)
        return replace(self.edits, renditions=tuple(renditions))

    def _compare(
        self, product: Product, rate_hz: int, conditions: Mapping[str, np.ndarray]
    ) -> float:
        """Measure the similarity of a stem, or of its own residual, to its query; else NaN."""
        is_joint = product.kind == RESIDUAL and self.edits.residual == "joint"
        if self.meter is None or is_joint or product.name not in conditions:
            return float("nan")
        return self.meter.compare(product.samples, rate_hz, conditions[product.name])


def edit(
    editor: Editor, names: Iterable[str], stems: Iterable[torch.Tensor | None]
) -> Iterator[Product]:
    """Yield the stems, residuals and renditions of a span, one array at a time."""
    for name, stem_CT in zip(names, stems, strict=True):
        yield from editor.add(name, None if stem_CT is None else stem_CT.numpy())
    yield from editor.finish()


@dataclass(frozen=True)
class OurEngine:
    """The recipe by which an actor makes the engine of a network of this package."""

    can_share: ClassVar[bool] = True  # among threads
    config: Config
    weights: Mapping[str, torch.Tensor]

    def make(self, model: ModelSettings, is_shared: bool = False, own_share: float = 1.0) -> Engine:
        """`own_share`: this actor's share of a device that other actors use too."""
        with torch.device("meta"):
            net = make_network(self.config)
        # Copied: arrays in the object store are read-only.
        net.load_state_dict({name: t.clone() for name, t in self.weights.items()}, assign=True)
        return Engine(
            net.eval().requires_grad_(False),
            model.device,
            model.precision,  # pyright: ignore[reportArgumentType] # checked in the config
            model.compile,  # pyright: ignore[reportArgumentType]
            model.channels,
            model.context,
            memory_bytes=choose_budget(choose_device(model.device), own_share),
            is_shared=is_shared,
        )


@dataclass(frozen=True)
class PackageEngine:
    """The recipe for a model of another package, which must be installed on every machine."""

    can_share: ClassVar[bool] = False  # the package may not be thread-safe
    name: str

    def make(
        self, model: ModelSettings, is_shared: bool = False, own_share: float = 1.0
    ) -> OutsideEngine:
        assert not is_shared
        package = find_package(self.name)
        if package is None:
            raise RequestError(f"model.name={self.name!r}: its package is not installed here")
        return OutsideEngine(package, model.device, model.precision, model.channels)


EngineRecipe = OurEngine | PackageEngine
