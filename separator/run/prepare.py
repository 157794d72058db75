"""Prepare a run: the work to be done, cheaply; then the weights and conditions that it needs."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from separator.config import JobConfig
from separator.errors import CheckpointError
from separator.model import registry
from separator.model.identity import find_sha256, remember_sha256, stamp_file
from separator.results.done import DoneItems, find_done
from separator.results.folders import find_folder
from separator.results.paths import Layout
from separator.rows import Asset
from separator.run.cluster import find_precision
from separator.run.status import read_runs
from separator.stages.extract import SpanPlan
from separator.stages.listing import STAT_THREADS, Listing, collect_texts, map_ahead
from separator.stages.work import Work, make_work
from separator.storage import Storage

if TYPE_CHECKING:
    import torch

    from separator.encoders.similarity import AudioEncoder
    from separator.model.checkpoint import Checkpoint
    from separator.model.resunet import NetworkConfig

log = logging.getLogger(__name__)

MAX_RUNS_READ = 100


@dataclass(frozen=True)
class Target:
    """The work of a run and the place of its results: enough to see whether anything is to do."""

    config: JobConfig  # with the precision that it comes to
    storage: Storage
    layout: Layout
    checkpoint_path: Path
    work: Work
    # A run with other settings did not end: it may have replaced stems that the manifest names.
    is_doubtful: bool = False

    def list_assets(self) -> Listing:
        return Listing(self.storage, self.config, self.work)

    def list_pending(
        self, done: DoneItems, assets: Iterable[Asset]
    ) -> Iterator[tuple[Asset, Asset | None]]:
        """Yield each asset, and the same with the work that is left to do, or None."""
        if not self.is_doubtful or done.wanted is not None:
            return ((asset, done.select_pending(asset)) for asset in assets)
        return map_ahead(partial(self._look, done), iter(assets), STAT_THREADS)

    def _look(self, done: DoneItems, asset: Asset) -> tuple[Asset, Asset | None]:
        if asset.trouble:
            return asset, done.select_pending(asset)
        _, found = find_folder(self.storage, self.layout, asset)
        return asset, done.select_pending(asset, {r["request"] for r in found.records})

    def find_done(self) -> DoneItems:
        run = self.config.run
        return find_done(self.storage, self.layout, run.retry_failed, run.only == "failed")


@dataclass(frozen=True)
class Flow:
    """Everything that the stages need, made once by the driver."""

    run_id: str
    target: Target
    spans: SpanPlan
    net_config: "NetworkConfig"
    weights: "Mapping[str, torch.Tensor]"
    conditions: Mapping[str, np.ndarray]  # by text of a query
    find_audio_encoder: "Callable[[], AudioEncoder | None]"  # that measures similarity


def prepare_target(config: JobConfig, storage: Storage) -> Target:
    """Find out the work without reading any weights, as far as they are known."""
    layout = Layout(config.output.uri, config.output.format)
    path = registry.resolve(config.model.name, storage.fetch)
    sha256 = find_sha256(path) or read_weights(path).sha256
    precision = resolve_precision(config, storage, layout)
    work = make_work(config, sha256, precision, {})
    resolved = replace(config, model=replace(config.model, precision=precision))
    return Target(resolved, storage, layout, path, work)


def read_weights(path: Path) -> "Checkpoint":
    from separator.model.checkpoint import read_checkpoint

    stamp = stamp_file(path)
    checkpoint = read_checkpoint(path)
    remember_sha256(path, checkpoint.sha256, stamp)
    return checkpoint


def resolve_precision(config: JobConfig, storage: Storage, layout: Layout) -> str:
    """Take the precision of the config; for `auto` the one that the output's last run with `auto`
    took, or else the one that suits the devices. Stems of both lie 36 dB apart."""
    if config.model.precision != "auto":
        return config.model.precision
    for run in read_runs(storage, layout, MAX_RUNS_READ):
        if run.get("precision") and run["config"]["model"]["precision"] == "auto":
            return run["precision"]
    return find_precision(config.model.device)


def load_flow(target: Target, run_id: str) -> Flow:
    """Read the checkpoint, and compute the conditions of all queries."""
    from separator import api
    from separator.model.engine import choose_context
    from separator.model.resunet import GRID_FRAMES

    config, path = target.config, target.checkpoint_path
    checkpoint = read_weights(path)
    if checkpoint.sha256 != target.work.checkpoint_sha256:
        raise CheckpointError(f"{path}: the file changed while the run began; start the run again")
    texts = collect_texts(target.storage, config)
    conditions_QD, warnings = api.encode_texts(
        texts, checkpoint.encoder_id, lambda: api.find_encoder(path, checkpoint.encoder_id)
    )
    net = checkpoint.net.config
    context_frames = choose_context(config.model.context, net.rate_hz, net.hop)
    frame_s = Fraction(net.hop, net.rate_hz)
    return Flow(
        run_id=run_id,
        target=replace(target, work=replace(target.work, warnings=warnings)),
        spans=SpanPlan(config.run.span_s, context_frames * frame_s, GRID_FRAMES * frame_s),
        net_config=net,
        weights=checkpoint.net.state_dict(),
        conditions=dict(zip(texts, conditions_QD, strict=True)),
        find_audio_encoder=partial(api.find_audio_encoder, path, checkpoint.encoder_id),
    )


def warn_of_queries(work: Work) -> None:
    """Log the queries that may mean nothing to the model."""
    for text, warning in work.warnings.items():
        log.warning("query %r: %s", text, warning)
