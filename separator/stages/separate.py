"""Spans in, stems out, on one device. It knows the engine and rows, neither storage nor files."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch

from separator.audio.renditions import RENDITION, RESIDUAL, STEM, Editor, Edits, Product
from separator.audio.spans import Span
from separator.config import ModelSettings
from separator.encoders.similarity import SimilarityMeter
from separator.errors import AudioError, SeparatorError
from separator.model.engine import Engine
from separator.model.resunet import NetworkConfig, ResUNet
from separator.rows import SpanRow, StemRow, carry, set_error
from separator.stages.extract import NO_SAMPLES

NOTHING = Product(STEM, "", NO_SAMPLES)


class Watch:
    """Counts the time that the device has work, and none of what is made of stems afterwards."""

    def __init__(self) -> None:
        self._seconds = self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds += time.monotonic() - self._since

    def wait_for(self, stems: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        while True:
            with self:
                stem_CT = next(stems, None)
            if stem_CT is None:
                return
            yield stem_CT

    def tell_seconds(self) -> float:
        """Those that were not told before."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class SeparatorStage:
    """Holds the engine; one span at a time, one stem of it in memory."""

    def __init__(
        self,
        engine: Engine,
        conditions: Mapping[str, np.ndarray],
        edits: Edits | None = None,
        listener: SimilarityMeter | None = None,
    ) -> None:
        """`conditions`: text of a query -> (D,). `listener` says how like its query a stem is."""
        self.engine = engine
        self.conditions = conditions
        self.edits = edits or Edits()
        self.listener = listener

    def __call__(self, row: SpanRow) -> Iterator[StemRow]:
        if row["error_code"] or row["records"]:
            yield make_row(row, NOTHING)
            return
        watch = Watch()
        asset, track = json.loads(row["asset"]), json.loads(row["track"])
        items = json.loads(asset["queries"])
        queries = [item for item in items if item["kind"] == STEM]
        names = {item["name"] for item in items if item["kind"] == RENDITION}
        # Copied: what comes with a row is read-only.
        samples_CT = torch.tensor(row["samples"])
        span = Span(
            row["start"],
            row["start"] + samples_CT.shape[-1],
            row["core_start"],
            row["core_stop"],
            row["start"] + samples_CT.shape[-1],
        )
        core_CT = samples_CT[:, span.core].numpy()
        energy_in = float(np.square(core_CT, dtype=np.float64).sum())
        renditions = tuple(r for r in self.edits.renditions if r.name in names)
        edits = replace(self.edits, renditions=renditions)
        editor = Editor(core_CT, span.core_start, track["rate_hz"], edits)
        conditions = {query["name"]: self.conditions[query["text"]] for query in queries}
        conditions_QD = torch.tensor(np.stack(list(conditions.values())))
        stems = self.engine.separate_span(samples_CT, track["rate_hz"], conditions_QD, span)
        try:
            for product in edit(editor, conditions, watch.wait_for(stems)):
                with watch:
                    product = self._listen(product, track["rate_hz"], conditions)
                yield make_row(row, product, energy_in, watch.tell_seconds())
                row = SpanRow(**(row | {"seconds": 0.0}))  # told once  # pyright: ignore
        except AudioError as error:  # NaN in the samples, say
            yield make_row(row, NOTHING, error=error)

    def _listen(
        self, product: Product, rate_hz: int, conditions: Mapping[str, np.ndarray]
    ) -> Product:
        """Of a stem, and of what is left without it alone."""
        is_joint = product.kind == RESIDUAL and self.edits.residual == "joint"
        if self.listener is None or is_joint or product.name not in conditions:
            return product
        likeness = self.listener.compare(product.samples, rate_hz, conditions[product.name])
        return replace(product, similarity=likeness)


def edit(editor: Editor, names: Iterable[str], stems: Iterable[torch.Tensor]) -> Iterator[Product]:
    """Everything that is written of a span, one array at a time."""
    for name, stem_CT in zip(names, stems, strict=True):
        yield from editor.add(name, stem_CT.numpy())
    yield from editor.finish()


def make_engine(
    net_config: NetworkConfig, weights: Mapping[str, torch.Tensor], model: ModelSettings
) -> Engine:
    with torch.device("meta"):
        net = ResUNet(net_config)
    # Copied: what lies in the object store is read-only.
    net.load_state_dict({name: t.clone() for name, t in weights.items()}, assign=True)
    return Engine(
        net.eval().requires_grad_(False),
        model.device,
        model.precision,  # pyright: ignore[reportArgumentType] # checked in the config
        model.compile,  # pyright: ignore[reportArgumentType]
        model.channels,
        model.context,
    )


def make_row(
    row: SpanRow,
    product: Product,
    energy_in: float = 0.0,
    seconds: float = 0.0,
    error: SeparatorError | None = None,
) -> StemRow:
    done = StemRow(
        **carry(row),
        kind=product.kind,
        query_name=product.name,
        samples=product.samples,
        null_error=product.null_error,
        similarity=product.similarity,
        energy_in=energy_in,
        extract_s=row["seconds"],
        separate_s=seconds,
    )
    if error is not None:
        set_error(done, error, "separate")
    return done
