"""Prepare a run: find out its work cheaply, then load the weights and compute the conditions."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from separator.config import JobConfig
from separator.errors import CheckpointError, RequestError
from separator.model import registry
from separator.model.entry_points import hash_package
from separator.model.identity import find_sha256
from separator.queries import Query
from separator.results.done import DoneItems, find_done
from separator.results.folders import find_folder
from separator.results.paths import Layout, name_presence
from separator.results.withdrawn import name_mark, unmark
from separator.rows import Asset
from separator.run.cluster import find_precision
from separator.run.conditions import (
    Examples,
    encode_sounds,
    encode_texts,
    give_versions,
    list_all_examples,
    name_sound_encoder,
    read_weights,
    refuse_examples,
)
from separator.run.listening import OFF, ListenPlan, find_detector, hash_detector, plan_listening
from separator.run.status import read_runs
from separator.stages.extract import SpanPlan
from separator.stages.listing import STAT_THREADS, Listing, collect_texts, map_ahead
from separator.stages.work import Work, make_work, uses_presence
from separator.storage import Storage

if TYPE_CHECKING:
    from separator.encoders.similarity import AudioEncoder
    from separator.model.cuts import Cuts
    from separator.stages.separate import EngineRecipe

log = logging.getLogger(__name__)

MAX_RUNS_READ = 100


@dataclass(frozen=True)
class Target:
    """The work of a run and the layout of its output: enough to tell whether work is pending."""

    config: JobConfig  # with `model.precision` resolved
    storage: Storage
    layout: Layout
    checkpoint_path: Path | None  # None: another package provides the model
    work: Work
    examples: Examples = field(default_factory=dict)
    # Names of assets that an unfinished run was making again: the manifest may be wrong about them.
    marked: Set[str] = frozenset()
    is_detection: bool = False  # no stems are made

    def list_assets(self) -> Listing:
        return Listing(self.storage, self.config, self.work)

    def list_pending(
        self, done: DoneItems, assets: Iterable[Asset], settle: bool = False
    ) -> Iterator[tuple[Asset, Asset | None]]:
        """Yield pairs: an asset, and a copy of it that has only its pending work items, or None if
        there are none. `settle`: delete the marks of assets without pending items."""
        if not self.marked or done.wanted is not None:
            return ((asset, done.select_pending(asset)) for asset in assets)
        return map_ahead(partial(self._look, done, settle), iter(assets), STAT_THREADS)

    def _look(self, done: DoneItems, settle: bool, asset: Asset) -> tuple[Asset, Asset | None]:
        if asset.trouble or name_mark(asset.uri) not in self.marked:
            return asset, done.select_pending(asset)
        _, found = find_folder(self.storage, self.layout, asset)
        pending = done.select_pending(asset, {r["request"] for r in found.records})
        if settle and pending is None:  # the manifest and the commit file agree
            unmark(self.storage, self.layout, asset.uri, [item.name for item in asset.items])
        return asset, pending

    def find_done(self) -> DoneItems:
        run = self.config.run
        threshold = self.work.threshold
        only_failed = run.only == "failed"
        return find_done(self.storage, self.layout, run.retry_failed, only_failed, threshold)


@dataclass(frozen=True)
class Flow:
    """Everything that the stages need, made once by the driver."""

    run_id: str
    target: Target
    spans: SpanPlan
    engine: "EngineRecipe | None"  # for the actors; None: no stems are made
    conditions: Mapping[str, np.ndarray]  # by key of a query
    find_audio_encoder: "Callable[[], AudioEncoder | None]"  # to measure similarity
    listening: ListenPlan | None = None

    @property
    def can_share(self) -> bool:
        """Whether an actor may have several spans in work."""
        return self.engine is not None and self.engine.can_share


def make_detection_config(config: JobConfig) -> JobConfig:
    """Drop the settings that need stems, and set the output of `separator detect`."""
    if config.detect.model == OFF:
        raise RequestError("detect.model=off: there is nothing to detect with; try auto")
    output = replace(
        config.output,
        uri=name_presence(config.output.uri),
        residual="none",
        renditions=[],
        remux="none",
    )
    return replace(config, output=output, detect=replace(config.detect, gate="on"))


def prepare_target(config: JobConfig, storage: Storage, is_detection: bool = False) -> Target:
    """Find out the work of a run; weights whose hash is already known are not read."""
    layout = Layout(config.output.uri, config.output.format)
    parsed = config.parse_queries()
    examples = list_all_examples(storage, parsed)
    if package := registry.find_package(config.model.name):
        path, encoder_id, sha256 = None, "", hash_package(config.model.name, package)
        refuse_examples(config.model.name, examples)
    else:
        check_first = partial(check_text_side, parsed)
        path = registry.resolve(config.model.name, storage.fetch, check_first)
        sha256 = find_sha256(path) or read_weights(path).sha256
        encoder_id = name_sound_encoder(path, config.model.detector, storage) if examples else ""
    precision = resolve_precision(config, storage, layout)
    queries = give_versions(parsed, examples, encoder_id)
    detector_sha256 = ""
    if uses_presence(config):
        detector_sha256 = hash_detector(find_detector(config.detect.model, storage))
    work = make_work(config, sha256, precision, {}, queries, detector_sha256, is_detection)
    resolved = replace(config, model=replace(config.model, precision=precision))
    return Target(resolved, storage, layout, path, work, examples, is_detection=is_detection)


def check_text_side(queries: Iterable[Query]) -> None:
    """Refuse texts if CLAP, which all published models need for them, cannot be loaded here."""
    if not all(query.files for query in queries):
        from separator.encoders.clap import check_clap
        from separator.encoders.tokenizer import find_tokenizer

        check_clap()
        find_tokenizer()


def resolve_precision(config: JobConfig, storage: Storage, layout: Layout) -> str:
    """Return the precision of the config. For `auto`, keep the precision of the output's last run
    with `auto`, because stems of fp32 and bf16 differ (36 dB SNR); else choose by the devices."""
    if config.model.precision != "auto":
        return config.model.precision
    for run in read_runs(storage, layout, MAX_RUNS_READ):
        if run.get("precision") and run["config"]["model"]["precision"] == "auto":
            return run["precision"]
    return find_precision(config)


def load_flow(target: Target, run_id: str) -> Flow:
    """Read the checkpoint, and compute the conditions of all queries."""
    from separator.encoders import lookup
    from separator.model.cuts import plan_cuts
    from separator.stages.separate import OurEngine

    config, path = target.config, target.checkpoint_path
    if path is None:
        return load_package_flow(target, run_id)
    checkpoint = read_weights(path)
    if checkpoint.sha256 != target.work.checkpoint_sha256:
        raise CheckpointError(f"{path}: the file changed while the run began; start the run again")
    net, encoder_id = checkpoint.net.config, checkpoint.encoder_id
    cuts = plan_cuts(net, config.model.context)
    storage, queries = target.storage, target.work.queries
    texts = encode_texts(path, encoder_id, collect_texts(storage, config))
    sounds = encode_sounds(
        path, checkpoint, config.model.detector, storage, queries, target.examples
    )
    warnings = texts.warnings | sounds.warnings
    audio_encoder = cache(partial(lookup.find_audio_encoder, path, encoder_id))
    calibration = lookup.read_calibration(path) if config.detect.model != OFF else None
    listening = plan_listening(
        config.detect,
        storage,
        queries,
        texts.by_key,
        calibration,
        audio_encoder() if calibration else None,
        [text for text, warning in texts.warnings.items() if warning == lookup.UNKNOWN],
    )
    cuts = widen_context(cuts, listening)
    return Flow(
        run_id=run_id,
        target=replace(target, work=replace(target.work, warnings=warnings)),
        spans=SpanPlan(config.run.span_s, cuts.context_s, cuts.grid_s),
        engine=None if target.is_detection else OurEngine(net, checkpoint.net.state_dict()),
        conditions=texts.by_key | sounds.by_key,
        find_audio_encoder=audio_encoder,
        listening=listening,
    )


def widen_context(cuts: "Cuts", listening: ListenPlan | None) -> "Cuts":
    """Give spans as much context as their network or the listener needs, whichever is more."""
    if listening is None:
        return cuts
    return replace(cuts, context_s=max(cuts.context_s, listening.context_s))


def load_package_flow(target: Target, run_id: str) -> Flow:
    """Compute the conditions of all queries with a model that another package provides."""
    from separator.model.outside import NOT_EXACT, OutsideEngine, OutsideTexts
    from separator.stages.separate import PackageEngine

    config, name = target.config, target.config.model.name
    package = registry.find_package(name)
    assert package is not None, name
    engine = OutsideEngine(package, "cpu", "fp32")
    texts = collect_texts(target.storage, config)
    conditions_QD = OutsideTexts(name, engine.model).encode_texts(texts)
    listening = plan_listening(
        config.detect, target.storage, target.work.queries, texts, None, None
    )
    doubt = "" if engine.model.is_exact else NOT_EXACT.format(name=name)
    warnings = dict.fromkeys(texts, doubt) if doubt else {}
    return Flow(
        run_id=run_id,
        target=replace(target, work=replace(target.work, warnings=warnings)),
        spans=SpanPlan(
            config.run.span_s,
            max(engine.context_s, listening.context_s if listening else Fraction(0)),
            engine.grid_s,
        ),
        engine=None if target.is_detection else PackageEngine(name),
        conditions=dict(zip(texts, conditions_QD, strict=True)),
        find_audio_encoder=lambda: None,
        listening=listening,
    )


def warn_of_queries(work: Work) -> None:
    """Log the queries that may mean nothing to the model, or more than one thing."""
    names = {query.key: query.name for query in work.queries if query.files}
    for key, warning in work.warnings.items():
        log.warning("query %r: %s", names.get(key, key), warning)
