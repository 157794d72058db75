"""Separate spans into stems on one device, and make residuals and renditions of the stems.

Knows the engine and rows, neither storage nor files.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from separator.audio.renditions import Editor, Edits, Product
from separator.audio.spans import Span
from separator.config import ModelSettings
from separator.encoders.similarity import SimilarityMeter
from separator.errors import AudioError, RequestError
from separator.model.engine import Engine
from separator.model.entry_points import find_package
from separator.model.networks import Config, make_network
from separator.model.outside import OutsideEngine
from separator.model.track import TrackSeparator
from separator.rows import (
    RENDITION,
    RESIDUAL,
    STEM,
    AlreadyDone,
    Failed,
    Seconds,
    SpanRow,
    StemRow,
    fail,
)


class Stopwatch:
    """Counts the time that the device is at work, and none of the work on stems afterwards."""

    def __init__(self) -> None:
        self._seconds = self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds += time.monotonic() - self._since

    def time_each(self, stems: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Pass stems on, and count the time that each takes to come."""
        while True:
            with self:
                stem_CT = next(stems, None)
            if stem_CT is None:
                return
            yield stem_CT

    def take_seconds(self) -> float:
        """Give the seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class SeparatorStage:
    """Holds the engine; works on one span at a time, with one stem of it in memory."""

    def __init__(
        self,
        engine: TrackSeparator,
        conditions: Mapping[str, np.ndarray],
        edits: Edits | None = None,
        meter: SimilarityMeter | None = None,
    ) -> None:
        """`conditions`: what names the condition of a work item -> (D,). `meter` measures the
        similarity of stems."""
        self.engine = engine
        self.conditions = conditions
        self.edits = edits or Edits()
        self.meter = meter

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
        watch, rate_hz = Stopwatch(), row.track.rate_hz
        samples_CT = torch.tensor(row.samples)  # copied: the samples of a row are read-only
        span = find_span(row)
        core_CT = samples_CT[:, span.core].numpy()
        energy_in = float(np.square(core_CT, dtype=np.float64).sum())
        names = row.asset.list_names(RENDITION)
        renditions = tuple(r for r in self.edits.renditions if r.name in names)
        editor = Editor(
            core_CT, span.core_start, rate_hz, replace(self.edits, renditions=renditions)
        )
        conditions = {
            item.name: self.conditions[item.condition]
            for item in row.asset.items
            if item.kind == STEM
        }
        conditions_QD = torch.tensor(np.stack(list(conditions.values())))
        stems = self.engine.separate_span(samples_CT, rate_hz, conditions_QD, span)
        extract_s = row.seconds.extract
        for number, product in enumerate(edit(editor, conditions, watch.time_each(stems))):
            with watch:
                similarity = self._compare(product, rate_hz, conditions)
            # One row of each span tells the collector all items of the asset.
            asset = row.asset.keep_item(product.name) if number else row.asset
            yield StemRow(
                asset,
                row.track,
                row.num_tracks,
                kind=product.kind,
                name=product.name,
                number=row.number,
                is_last=row.is_last,
                samples=product.samples,
                null_error=product.null_error,
                similarity=similarity,
                energy_in=energy_in,
                repairs=row.repairs,
                seconds=Seconds(extract=extract_s, separate=watch.take_seconds()),
            )
            extract_s = 0.0  # counted once

    def _compare(
        self, product: Product, rate_hz: int, conditions: Mapping[str, np.ndarray]
    ) -> float:
        """Measure the similarity of a stem, or of its own residual, to its query; NaN of others."""
        is_joint = product.kind == RESIDUAL and self.edits.residual == "joint"
        if self.meter is None or is_joint or product.name not in conditions:
            return float("nan")
        return self.meter.compare(product.samples, rate_hz, conditions[product.name])


def find_span(row: SpanRow) -> Span:
    stop = row.start + row.samples.shape[-1]
    return Span(row.start, stop, row.core_start, row.core_stop, stop)


def edit(editor: Editor, names: Iterable[str], stems: Iterable[torch.Tensor]) -> Iterator[Product]:
    """Yield every sound that is written of a span, one array at a time."""
    for name, stem_CT in zip(names, stems, strict=True):
        yield from editor.add(name, stem_CT.numpy())
    yield from editor.finish()


@dataclass(frozen=True)
class OurEngine:
    """How an actor makes an engine: of a network of ours."""

    config: Config
    weights: Mapping[str, torch.Tensor]

    def make(self, model: ModelSettings) -> Engine:
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
        )


@dataclass(frozen=True)
class PackageEngine:
    """The same of a model that another package brings, installed on every machine."""

    name: str

    def make(self, model: ModelSettings) -> OutsideEngine:
        package = find_package(self.name)
        if package is None:
            raise RequestError(f"model.name={self.name!r}: its package is not installed here")
        return OutsideEngine(package, model.device, model.precision, model.channels)


EngineRecipe = OurEngine | PackageEngine
