"""Define every setting of the job and check it beside its field.

`read_config` reports a setting that cannot work as one `RequestError` that names the key.
configs/local.yaml explains each key.
"""

import json
import re
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf

from separator.audio.channels import check_policy
from separator.config_file import (
    build,
    check_choice,
    check_number,
    check_whole,
    merge_settings,
    named,
    read_settings,
    read_switches,
)
from separator.config_output import (
    OutputSettings,
    check_places,
    check_renditions,
    check_residuals,
)
from separator.config_report import ReportSettings
from separator.detect.stretches import StretchRule
from separator.errors import RequestError
from separator.media.choose import check_tracks
from separator.media.formats import list_media_patterns
from separator.media.groups import GROUPS
from separator.queries import Query, parse_queries
from separator.storage import StorageSettings, parse_uri
from separator.storage.patterns import make_selector
from separator.storage.tables import SUFFIXES, is_list

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
COMPILE = ("auto", "on", "off")
GATES = ("on", "off")
LOW_SHARE = 0.5  # of the threshold: the level at which stretches begin and end
SMOOTH_S = 0.4  # length of the median filter over curves
ON_FAILED = ("exit3", "ok")
LOG_FORMATS = ("text", "json")
ONLY = ("all", "failed")
LABEL = re.compile(r"([a-z0-9.-]+/)?[^\W_]([\w.-]{0,61}[^\W_])?", re.ASCII)
MIN_CPUS = 0.001  # Ray counts no smaller parts; with 0, it would start tasks without limit
MAX_ACTORS, MAX_SPANS_AT_ONCE = 100_000, 64


@dataclass(frozen=True)
class InputSettings:
    uri: str = MISSING
    include: list[str] = field(default_factory=list_media_patterns)
    exclude: list[str] = field(default_factory=list)
    uri_column: str | None = None
    queries_column: str | None = None
    tracks_column: str | None = None
    group: str = "off"
    carry: list[str] = field(default_factory=list)
    allow_local: Any = "auto"

    def __post_init__(self) -> None:
        with named("input.uri: "):
            parse_uri(self.uri)
        with named("input.include/exclude: "):
            make_selector(self.include, self.exclude)
        read_switches(self, "group")
        check_choice("input.group", self.group, GROUPS)
        if self.allow_local not in ("auto", True, False):
            raise RequestError(f"input.allow_local={self.allow_local!r}: auto, true or false")
        if is_list(self.uri) and (self.exclude or self.include != list_media_patterns()):
            raise RequestError(
                f"input.include and exclude: are for a folder; input.uri={self.uri!r} is a list"
            )
        for key in ("uri_column", "queries_column", "tracks_column", "carry"):
            value = getattr(self, key)
            if value and not is_list(self.uri):
                raise RequestError(
                    f"input.{key}={value!r}: input.uri={self.uri!r} is no list; a list ends "
                    f"in {', '.join(SUFFIXES)}"
                )

    @property
    def may_name_local(self) -> bool:
        """Tell whether a list may name files of the machine that runs the job."""
        is_local = not parse_uri(self.uri).bucket
        return is_local if self.allow_local == "auto" else bool(self.allow_local)


@dataclass(frozen=True)
class ModelSettings:
    name: str = "mini"
    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"
    channels: str = "linked"
    context: Any = "exact"
    detector: str = "auto"

    def __post_init__(self) -> None:
        read_switches(self, "compile")
        check_choice("model.device", self.device, DEVICES)
        check_choice("model.precision", self.precision, PRECISIONS)
        check_choice("model.compile", self.compile, COMPILE)
        with named("model."):
            check_policy(self.channels)
        if self.context not in ("exact", "pieces"):
            check_number("model.context", self.context, 0, 1e6)


@dataclass(frozen=True)
class DetectSettings:
    model: str = "auto"
    gate: str = "off"
    threshold: float = 0.5
    pad_s: float = 2.0
    shortest_s: float = 0.0
    shortest_gap_s: float = 1.0

    def __post_init__(self) -> None:
        read_switches(self, "model", "gate")
        check_choice("detect.gate", self.gate, GATES)
        check_number("detect.threshold", self.threshold, 0.001, 0.999)
        check_number("detect.pad_s", self.pad_s, 0, 10)
        check_number("detect.shortest_s", self.shortest_s, 0, 3600)
        check_number("detect.shortest_gap_s", self.shortest_gap_s, 0, 3600)
        if self.model == "off" and self.is_gated:
            raise RequestError("detect.gate='on': needs a detector; detect.model is off")

    @property
    def is_gated(self) -> bool:
        return self.gate == "on"

    @property
    def rule(self) -> StretchRule:
        return StretchRule(
            self.threshold,
            LOW_SHARE * self.threshold,
            smooth_s=SMOOTH_S,
            shortest_s=self.shortest_s,
            shortest_gap_s=self.shortest_gap_s,
        )


@dataclass(frozen=True)
class StageSettings:
    """The resources that one task of a stage asks of its machine."""

    num_cpus: float = 1.0
    memory_bytes: Any = "auto"
    labels: dict[str, str] = field(default_factory=dict)  # Ray's labels of suitable machines

    def check(self, key: str, least_cpus: float = MIN_CPUS) -> None:
        check_number(f"{key}.num_cpus", self.num_cpus, least_cpus, MAX_ACTORS)
        for name, value in self.labels.items():
            if not (LABEL.fullmatch(name) and LABEL.fullmatch(value)):
                raise RequestError(
                    f"{key}.labels: {name}={value!r}: letters, digits, -, _ and . make a label"
                )
        if self.memory_bytes != "auto":
            check_number(f"{key}.memory_bytes", self.memory_bytes, 0, sys.maxsize)


@dataclass(frozen=True)
class ActorSettings(StageSettings):
    """The resources that one actor asks of its machine."""

    num_cpus: float = 0.0  # with 1, actors could take all CPUs, and wait for spans for ever
    num_gpus: float = 1.0  # if it runs on a GPU
    spans_at_once: Any = "auto"

    def check(self, key: str, least_cpus: float = MIN_CPUS) -> None:
        super().check(key, 0 if self.num_cpus == 0 else least_cpus)
        if self.spans_at_once != "auto":
            check_whole(f"{key}.spans_at_once", self.spans_at_once, 1, MAX_SPANS_AT_ONCE)
        check_number(f"{key}.num_gpus", self.num_gpus, 0.01, 64)
        if self.num_gpus > 1 and self.num_gpus % 1:
            raise RequestError(f"{key}.num_gpus={self.num_gpus:g}: above 1 Ray gives whole GPUs")


@dataclass(frozen=True)
class RunSettings:
    span_s: float = 122.88
    actors: Any = "auto"
    only: str = "all"
    retry_failed: bool = False
    limit: int | None = None
    shard: str | None = None
    failed_assets: str = "exit3"
    no_progress_s: float = 6 * 3600.0
    log_format: str = "text"
    extract: StageSettings = field(default_factory=StageSettings)
    separate: ActorSettings = field(default_factory=ActorSettings)
    publish: StageSettings = field(default_factory=StageSettings)

    def __post_init__(self) -> None:
        check_choice("run.only", self.only, ONLY)
        check_choice("run.failed_assets", self.failed_assets, ON_FAILED)
        for name in ("extract", "separate", "publish"):
            getattr(self, name).check(f"run.{name}")
        check_choice("run.log_format", self.log_format, LOG_FORMATS)
        if self.actors != "auto":
            self.parse_actors()
        if self.limit is not None:
            check_number("run.limit", self.limit, 1, sys.maxsize)
        check_number("run.span_s", self.span_s, 1, 600)
        check_number("run.no_progress_s", self.no_progress_s, 1, 1e9)
        self.parse_shard()

    def parse_actors(self) -> tuple[int, int]:
        """Return the least and the most actors, of `8` or `2-8`."""
        text = str(self.actors)
        least, found, most = text.partition("-")
        if text.isascii() and least.isdecimal() and (most.isdecimal() or not found):
            numbers = int(least), int(most or least)
            if 1 <= numbers[0] <= numbers[1] <= MAX_ACTORS:
                return numbers
        raise RequestError(
            f"run.actors={self.actors!r}: must be auto, a whole number from 1 to {MAX_ACTORS:,}, "
            "or two of them as in 2-8"
        )

    def parse_shard(self) -> tuple[int, int]:
        """Return (0, 1) for `null`, (i - 1, n) for `i/n`."""
        if self.shard is None:
            return 0, 1
        number, found, count = str(self.shard).partition("/")
        if found and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return int(number) - 1, int(count)
        raise RequestError(f"run.shard={self.shard!r}: must be i/n, from 1/n to n/n")

    def name_shard(self) -> str:
        """Write the shard in one way, without leading zeros; empty for all of the library."""
        number, num_shards = self.parse_shard()
        return f"{number + 1}/{num_shards}" if self.shard else ""


@dataclass(frozen=True)
class JobConfig:
    input: InputSettings = field(default_factory=InputSettings)
    tracks: Any = "all"
    queries: list[Any] = field(default_factory=list)
    model: ModelSettings = field(default_factory=ModelSettings)
    detect: DetectSettings = field(default_factory=DetectSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    run: RunSettings = field(default_factory=RunSettings)
    report: ReportSettings = field(default_factory=ReportSettings)

    def __post_init__(self) -> None:
        check_places(self.input.uri, self.output.uri)
        queries = self.parse_queries()
        check_tracks(self.tracks)
        check_residuals(self.output, queries)
        if self.input.queries_column is None:
            with named("output.renditions: "):
                check_renditions(self.output, queries)
        if self.detect.model == "off" and (
            named_presence := [r.name for r in self.output.renditions if r.is_where_heard]
        ):
            raise RequestError(
                f"output.renditions: {named_presence[0]!r}: within_s=presence needs a detector; "
                "detect.model is off"
            )
        makes_mixes = self.output.renditions or self.output.residual != "none"
        if self.model.channels == "mono" and makes_mixes:
            raise RequestError(
                "model.channels='mono': a stem of one channel cannot be taken out of a track of"
                " several; use linked or each with residuals and renditions"
            )

    def parse_queries(self) -> list[Query]:
        """Return the queries for all assets; none if only a column of the list has queries."""
        if self.input.queries_column is not None and not self.queries:
            return []
        return parse_queries(self.queries)

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON holds it: infinite gains as texts, which can be read back."""
        return json.loads(json.dumps(asdict(self)), parse_constant=str)


def read_config(path: Path, overrides: list[str]) -> JobConfig:
    return read_settings(JobConfig, path, overrides)


def read_output(path: Path, overrides: list[str]) -> tuple[OutputSettings, StorageSettings]:
    """Read the sections `output` and `storage`; of the other sections only keys are checked."""
    tree = merge_settings(JobConfig, path, overrides)
    if OmegaConf.is_missing(tree.output, "uri"):
        raise RequestError(f"{path}: output.uri is not set; add output.uri=...")
    return build(tree.output, path), build(tree.storage, path)
