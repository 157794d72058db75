"""The stages of the flow one after the other in this process, with a network of next to no size."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from separator.audio.renditions import Edits
from separator.config import ModelSettings
from separator.model.engine import choose_context
from separator.model.resunet import GRID_FRAMES, NetworkConfig, ResUNet
from separator.results.paths import make_asset_path
from separator.rows import AssetRow
from separator.stages.collect import Ledger
from separator.stages.extract import Extractor, SpanPlan
from separator.stages.publish import Publisher
from separator.stages.remux import Remuxer
from separator.stages.separate import SeparatorStage, make_engine

CONFIG = NetworkConfig(n_fft=256, hop=80, widths=(2, 2, 2, 2, 2, 2), condition_size=8)
GRID_S = GRID_FRAMES * Fraction(CONFIG.hop, CONFIG.rate_hz)
TEXTS = {"a": "an a", "b": "a b"}


def make_stage(seed: int = 0) -> SeparatorStage:
    torch.manual_seed(seed)
    engine = make_engine(CONFIG, ResUNet(CONFIG).state_dict(), ModelSettings("x", "cpu", "fp32"))
    rows_QD = np.random.default_rng(seed).standard_normal((len(TEXTS), 8)).astype(np.float32)
    return SeparatorStage(engine, dict(zip(TEXTS.values(), rows_QD, strict=True)))


def make_asset(path: Path, edits: Edits) -> AssetRow:
    asked: list[dict[str, Any]] = [
        {"kind": "stem", "name": name, "text": text} for name, text in TEXTS.items()
    ]
    asked += [{"kind": "rendition", "name": r.name, "text": "a mix"} for r in edits.renditions]
    for number, item in enumerate(asked):
        item |= {"warning": "", "needs": [], "request": f"{number:032}"}
    return AssetRow(
        asset_uri=str(path),
        asset_path=make_asset_path(str(path), str(path.parent)),
        asset_etag="",
        asset_bytes=path.stat().st_size,
        modified_at="2026-01-01T00:00:00+00:00",
        queries=json.dumps(asked),
        tracks='"all"',
        trouble="",
        carried="",
    )


def run_stages(
    path: Path,
    stage: SeparatorStage,
    publisher: Publisher,
    edits: Edits,
    span_s: float = 100.0,
    remuxer: Remuxer | None = None,
) -> list[dict[str, Any]]:
    """Records of one asset, as the job makes them."""
    asset = make_asset(path, edits)
    asset["asset_etag"] = publisher.storage.stat(str(path)).etag
    frame_s = Fraction(CONFIG.hop, CONFIG.rate_hz)
    plan = SpanPlan(span_s, choose_context("exact", CONFIG.rate_hz, CONFIG.hop) * frame_s, GRID_S)
    extractor = Extractor(publisher.storage, publisher.layout, plan)
    stage = SeparatorStage(stage.engine, stage.conditions, edits)
    ledger = Ledger({"run_id": publisher.run_id}, edits.residual, remuxer is not None)
    for span in extractor(asset):
        for stem in stage(span):
            whole, records = ledger.add(publisher.publish(stem))
            while whole is not None:
                if whole["kind"] == "remux":
                    assert remuxer is not None
                    done = remuxer(whole)
                else:
                    done = publisher.assemble(whole)
                whole, records = ledger.add(done)
            if records is not None:
                for uri in ledger.orphans.pop(str(path), ()):
                    publisher.storage.delete(uri)
                return records
    raise AssertionError("the asset was never whole")
