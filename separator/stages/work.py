"""Expand the config into work items per asset. An item's id hashes everything that changes it."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from separator.config import JobConfig
from separator.config_output import OutputSettings, RenditionSettings
from separator.queries import Query
from separator.results.record import hash_json, to_json
from separator.rows import RENDITION, STEM, WorkItem

# Settings that leave every work item as it is. All other keys of the config enter the ids, so that
# a key that is added later cannot be forgotten.
HARMLESS = {
    # Places, and the choice of assets.
    "input.uri", "input.include", "input.exclude", "input.uri_column", "input.carry",
    "input.allow_local", "output.uri",
    "run.only", "run.retry_failed", "run.limit", "run.shard",
    # They enter the ids in another form: the asset, its queries and tracks, the weights' hash.
    "input.queries_column", "input.tracks_column", "queries", "tracks", "model.name",
    "model.detector",
    "output.renditions", "output.remux", "output.remux_codec", "output.remux_bitrate_bps",
    # Results do not depend on the machine or on how the work is cut: they agree to rounding.
    "model.device", "model.compile", "run.span_s", "run.actors",
    "run.extract.num_cpus", "run.extract.memory_bytes", "run.publish.num_cpus",
    "run.publish.memory_bytes", "run.separate.num_cpus", "run.separate.memory_bytes",
    "run.extract.labels", "run.separate.labels", "run.publish.labels",
    "run.separate.num_gpus", "run.separate.spans_at_once", "run.log_format",
    # A column of the record, the exit code, and the page about the output.
    "output.similarity", "run.failed_assets", "run.no_progress_s", "output.report", "report.most",
    # The way to a place.
    "storage.endpoint_url", "storage.region", "storage.profile", "storage.anonymous",
    "storage.ca_bundle", "storage.path_style", "storage.checksums", "storage.connections",
    "storage.part_bytes", "storage.attempts", "storage.backoff_s", "storage.timeout_s",
    "storage.conditional_writes",
}  # fmt: skip
REMUX_KEYS = ("remux", "remux_codec", "remux_bitrate_bps")
# The first release hashed the values of these keys even if they were the defaults.
FORMER_MODEL_KEYS = ("channels", "context", "precision")
FORMER_OUTPUT_KEYS = ("format", "bit_depth", "bitrate_bps", "clip", "dither", "residual")
FORMER_KEYS = {f"model.{key}" for key in FORMER_MODEL_KEYS}
FORMER_KEYS |= {f"output.{key}" for key in FORMER_OUTPUT_KEYS}
FORMER_RENDITION_KEYS = (
    "name", "gains_db", "rest_db", "within_s", "fade_s", "loudness_lufs", "true_peak_dbtp"
)  # fmt: skip


@dataclass(frozen=True)
class IdRule:
    """The settings and the recipes of renditions that one rule hashes into ids of work items."""

    settings: dict[str, Any]
    recipes: dict[str, dict[str, Any]]

    @cached_property
    def settings_json(self) -> str:
        return to_json(self.settings)

    @cached_property
    def of_absent(self) -> "IdRule":
        """The rule for a query that is heard nowhere: its result is the same at any threshold."""
        settings = {k: v for k, v in self.settings.items() if k != "detect.threshold"}
        return replace(self, settings=settings | {"absent": True})


@dataclass(frozen=True)
class Work:
    """The work to be done on every asset, unless its row in a list asks for something else."""

    queries: tuple[Query, ...]
    tracks: Any
    output: OutputSettings
    rule: IdRule
    former_rule: IdRule | None  # None: the config uses settings that the first release lacked
    warnings: Mapping[str, str]  # by the key of a query
    threshold: float = 1.0  # of the gate

    @property
    def checkpoint_sha256(self) -> str:
        return self.rule.settings["checkpoint"]

    @cached_property
    def classes(self) -> dict[str, tuple[str, ...]]:
        return choose_classes(self.queries)


def make_work(
    config: JobConfig,
    checkpoint_sha256: str,
    precision: str,
    warnings: Mapping[str, str],
    queries: Sequence[Query] | None = None,
    detector_sha256: str = "",
    is_detection: bool = False,
) -> Work:
    """Collect from the config what ids hash. `precision`: the value of `model.precision` for the
    devices of this run. `queries`: those of the config, with the versions of their example sounds.
    `detector_sha256`: of the detector, if its presences change stems or mixes. `is_detection`: no
    stems are made."""
    resolved = replace(config, model=replace(config.model, precision=precision))
    settings = {"checkpoint": checkpoint_sha256} | list_stem_settings(resolved)
    if uses_presence(config):
        settings |= {"detector": detector_sha256} | ({"only": "presence"} if is_detection else {})
    return Work(
        tuple(config.parse_queries() if queries is None else queries),
        config.tracks,
        config.output,
        IdRule(
            settings,
            {r.name: list_changed(r) | list_remux(config.output) for r in config.output.renditions},
        ),
        make_former_rule(config, checkpoint_sha256),
        warnings,
        config.detect.rule.low,
    )


def choose_classes(queries: Iterable[Query]) -> dict[str, tuple[str, ...]]:
    """Choose the classes by which a detector listens for each query of a run, by its key. Queries
    of one key share them: the same sounds under two names, or a text in the config and a list."""
    chosen: dict[str, tuple[str, ...]] = {}
    for query in queries:
        chosen[query.key] = chosen.get(query.key) or tuple(query.classes)
    return chosen


def uses_presence(config: JobConfig) -> bool:
    """Tell whether stems or mixes depend on where queries are heard."""
    return config.detect.is_gated or any(r.is_where_heard for r in config.output.renditions)


def make_former_rule(
    config: JobConfig, checkpoint_sha256: str, known_keys: Collection[str] = FORMER_KEYS
) -> IdRule | None:
    """Make the id rule of the first release, with `model.precision` as the config has it; None if
    the config uses settings that the first release would have ignored."""
    if not set(list_stem_settings(config)).issubset(known_keys):
        return None
    model, output = asdict(config.model), asdict(config.output)
    settings = {key: model[key] for key in FORMER_MODEL_KEYS}
    settings |= {key: output[key] for key in FORMER_OUTPUT_KEYS}
    remux = {key: output[key] for key in REMUX_KEYS}
    recipes = {
        r["name"]: {key: r[key] for key in FORMER_RENDITION_KEYS} | remux
        for r in output["renditions"]
    }
    return IdRule(settings | {"checkpoint": checkpoint_sha256}, recipes)


def list_stem_settings(config: JobConfig) -> dict[str, Any]:
    """List the changed settings that decide what a stem is. If no stem depends on detection, it
    only fills columns."""
    changed = list_changed(config)
    if uses_presence(config):
        return changed
    return {key: value for key, value in changed.items() if not key.startswith("detect.")}


def list_changed(settings: Any) -> dict[str, Any]:
    """Name every setting that differs from its default and is not harmless, by dotted key.

    A new key whose default keeps to the old behaviour leaves all ids as they were.
    """
    defaults = dict(flatten(type(settings), {}))
    return {
        key: value
        for key, value in flatten(type(settings), asdict(settings))
        if key not in HARMLESS and value != defaults[key]
    }


def list_remux(output: OutputSettings) -> dict[str, Any]:
    return {
        key: value for key in REMUX_KEYS if (value := getattr(output, key)) not in (None, "none")
    }


def flatten(kind: Any, values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """List (dotted key, value) of a settings class; a value that is not given is the default."""
    found = []
    for each in fields(kind):
        key = f"{prefix}{each.name}"
        if is_dataclass(each.default_factory):
            found += flatten(each.default_factory, values.get(each.name, {}), f"{key}.")
        elif each.name in values:
            found.append((key, values[each.name]))
        else:
            made = each.default_factory
            found.append((key, each.default if made is MISSING else made()))
    return found


def list_items(
    queries: Sequence[Query], work: Work, version: list[Any], others: list[Any]
) -> tuple[WorkItem, ...]:
    """List the stems and renditions of one asset. `version`: of the asset; `others`: what else of
    the asset changes its stems, such as its tracks."""
    if "detector" in work.rule.settings:
        queries = [replace(query, classes=work.classes.get(query.key, ())) for query in queries]
    ids = make_ids(work.rule, queries, work.output, version, others)
    former_ids = ids
    if work.former_rule is not None:
        former_ids = make_ids(work.former_rule, queries, work.output, version, others)
    absent_ids = {}
    if "detector" in work.rule.settings:
        absent_ids = make_ids(work.rule.of_absent, queries, work.output, version, others)
    # A joint residual depends on all stems, so all of them are made in the same pass.
    together = [q.name for q in queries] if work.output.residual == "joint" else []
    items = [
        WorkItem(
            id=ids[query.name],
            kind=STEM,
            name=query.name,
            text=query.text,
            needs=tuple(together),
            warning=work.warnings.get(query.key, ""),
            former_id=former_ids[query.name],
            examples_version=query.version,
            examples_source=json.dumps(query.files, ensure_ascii=False) if query.files else "",
            examples_kind=query.kind if query.files else "audio",
            absent_id=absent_ids.get(query.name, ""),
            threshold=work.threshold,
        )
        for query in queries
    ]
    items += [
        WorkItem(
            id=ids[rendition.name],
            kind=RENDITION,
            name=rendition.name,
            text=describe_gains(rendition),
            needs=tuple(together or sorted(rendition.gains_db)),
            former_id=former_ids[rendition.name],
        )
        for rendition in work.output.renditions
    ]
    return tuple(items)


def make_ids(
    rule: IdRule,
    queries: Sequence[Query],
    output: OutputSettings,
    version: list[Any],
    others: list[Any],
) -> dict[str, str]:
    """Hash everything that changes each stem and each rendition of one asset; ids by name. The
    texts that are hashed are JSON; what all assets share is encoded once."""
    has_gate = "detector" in rule.settings
    pairs = {query.name: encode_query(query, has_gate) for query in queries}
    together = [join_json(pairs.values())] if output.residual == "joint" else []
    own, shared = to_json(version), [*map(to_json, others), rule.settings_json]
    ids = {
        name: hash_json(join_json([own, pair, *shared, *together])) for name, pair in pairs.items()
    }
    renditions = {}
    for rendition in output.renditions:
        sources = to_json([ids.get(name) for name in sorted(rendition.gains_db)])
        recipe = to_json(rule.recipes[rendition.name])
        renditions[rendition.name] = hash_json(join_json([own, recipe, sources, *shared]))
    return ids | renditions


def join_json(parts: Iterable[str]) -> str:
    return f"[{', '.join(parts)}]"


@lru_cache(maxsize=4096)
def encode_query(query: Query, has_gate: bool) -> str:
    return to_json(describe_query(query, has_gate))


def describe_query(query: Query, has_gate: bool = False) -> dict[str, Any]:
    """Describe a query for its hash: example sounds by their version, not by their location."""
    what = {query.kind: query.version if query.files else query.text}
    classes = {"classes": list(query.classes)} if query.classes and has_gate else {}
    return {"name": query.name} | what | classes


def describe_gains(rendition: RenditionSettings) -> str:
    gains = [f"{name} {db:+g} dB" for name, db in sorted(rendition.gains_db.items())]
    return ", ".join([*gains, f"the rest {rendition.rest_db:+g} dB"])
