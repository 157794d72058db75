"""Run the stages of the flow one after the other in this process, with a tiny network."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from separator.audio.renditions import Edits
from separator.config import ModelSettings
from separator.model.cuts import choose_context
from separator.model.resunet import GRID_FRAMES, NetworkConfig, ResUNet
from separator.results.paths import make_asset_path
from separator.rows import RENDITION, STEM, Asset, StemRow, WorkItem
from separator.stages.collect import Assemble, Collector, Commit, Remux
from separator.stages.extract import Extractor, SpanPlan
from separator.stages.publish import Publisher
from separator.stages.remux import Remuxer
from separator.stages.separate import OurEngine, SeparatorStage

CONFIG = NetworkConfig(n_fft=256, hop=80, widths=(2, 2, 2, 2, 2, 2), condition_size=8)
GRID_S = GRID_FRAMES * Fraction(CONFIG.hop, CONFIG.rate_hz)
TEXTS = {"a": "an a", "b": "a b"}


def make_stage(seed: int = 0) -> SeparatorStage:
    torch.manual_seed(seed)
    weights = ResUNet(CONFIG).state_dict()
    engine = OurEngine(CONFIG, weights).make(ModelSettings("x", "cpu", "fp32"))
    rows_QD = np.random.default_rng(seed).standard_normal((len(TEXTS), 8)).astype(np.float32)
    return SeparatorStage(engine, dict(zip(TEXTS.values(), rows_QD, strict=True)))


def make_asset(path: Path, edits: Edits, etag: str) -> Asset:
    pairs = [(STEM, name, text) for name, text in TEXTS.items()]
    pairs += [(RENDITION, rendition.name, "a mix") for rendition in edits.renditions]
    items = tuple(
        WorkItem(f"{number:032}", kind, name, text)
        for number, (kind, name, text) in enumerate(pairs)
    )
    return Asset(
        uri=str(path),
        path=make_asset_path(str(path), str(path.parent)),
        etag=etag,
        num_bytes=path.stat().st_size,
        modified_at="2026-01-01T00:00:00+00:00",
        items=items,
    )


def run_stages(
    path: Path,
    stage: SeparatorStage,
    publisher: Publisher,
    edits: Edits,
    span_s: float = 100.0,
    remuxer: Remuxer | None = None,
    group: str = "off",
) -> list[dict[str, Any]]:
    """Make the records of one asset, as the job does."""
    asset = make_asset(path, edits, publisher.storage.stat(str(path)).etag)
    frame_s = Fraction(CONFIG.hop, CONFIG.rate_hz)
    plan = SpanPlan(span_s, choose_context("exact", CONFIG.rate_hz, CONFIG.hop) * frame_s, GRID_S)
    extractor = Extractor(publisher.storage, publisher.layout, plan, group=group)
    stage = SeparatorStage(stage.engine, stage.conditions, edits)
    collector = Collector({"run_id": publisher.run_id}, edits.residual, remuxer is not None)
    for span in extractor(asset):
        for stem in stage(span):
            outcome = publisher.publish(stem) if isinstance(stem, StemRow) else stem
            commands = collector.add(outcome)
            while commands:
                (command,) = commands
                match command:
                    case Commit():
                        for uri in command.orphan_uris:
                            publisher.storage.delete(uri)
                        return command.records
                    case Assemble():
                        commands = collector.add(publisher.assemble(command))
                    case Remux():
                        assert remuxer is not None
                        commands = collector.add(remuxer(command))
    raise AssertionError("the asset was never whole")
