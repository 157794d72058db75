"""Spans in, stems out, on one device. It knows the engine and rows, neither storage nor files."""

import json
import time
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from separator.audio.spans import Span
from separator.config import ModelSettings
from separator.errors import AudioError, SeparatorError
from separator.model.engine import Engine
from separator.model.resunet import NetworkConfig, ResUNet
from separator.rows import SpanRow, StemRow, carry, set_error
from separator.stages.extract import NO_SAMPLES


class SeparatorStage:
    """Holds the engine; one span at a time, one stem of it in memory."""

    def __init__(self, engine: Engine, conditions: Mapping[str, np.ndarray]) -> None:
        """`conditions`: text of a query -> (D,)."""
        self.engine = engine
        self.conditions = conditions

    def __call__(self, row: SpanRow) -> Iterator[StemRow]:
        if row["error_code"] or row["records"]:
            yield make_row(row, "", NO_SAMPLES)
            return
        started = time.monotonic()
        asset, track = json.loads(row["asset"]), json.loads(row["track"])
        queries = json.loads(asset["queries"])
        # Copied: what comes with a row is read-only.
        samples_CT = torch.tensor(row["samples"])
        span = Span(
            row["start"],
            row["start"] + samples_CT.shape[-1],
            row["core_start"],
            row["core_stop"],
            row["start"] + samples_CT.shape[-1],
        )
        energy_in = float(samples_CT[:, span.core].double().square().sum())
        conditions_QD = torch.tensor(np.stack([self.conditions[q["text"]] for q in queries]))
        stems = self.engine.separate_span(samples_CT, track["rate_hz"], conditions_QD, span)
        try:
            for query, stem_CT in zip(queries, stems, strict=True):
                seconds = time.monotonic() - started
                yield make_row(row, query["name"], stem_CT.numpy(), energy_in, seconds)
                row = SpanRow(**(row | {"seconds": 0.0}))  # told once  # pyright: ignore
                started = time.monotonic()
        except AudioError as error:  # NaN in the samples, say
            yield make_row(row, "", NO_SAMPLES, error=error)


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
    query_name: str,
    samples: np.ndarray,
    energy_in: float = 0.0,
    seconds: float = 0.0,
    error: SeparatorError | None = None,
) -> StemRow:
    done = StemRow(
        **carry(row),
        query_name=query_name,
        samples=samples,
        energy_in=energy_in,
        extract_s=row["seconds"],
        separate_s=seconds,
    )
    if error is not None:
        set_error(done, error, "separate")
    return done
