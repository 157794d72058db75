"""Define every setting of the job and check it beside its field.

`read_config` turns everything that cannot work into one `RequestError` that names the key. The
meaning of each key stands beside it in configs/local.yaml.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf

from separator.audio.channels import check_policy
from separator.audio.renditions import REMUXES, RESIDUALS, Edits, Rendition
from separator.config_file import (
    build,
    check_choice,
    check_number,
    merge_settings,
    named,
    read_settings,
)
from separator.config_report import ReportSettings
from separator.errors import RequestError
from separator.media.choose import check_tracks
from separator.media.encode import EncodeSettings
from separator.media.formats import list_media_patterns
from separator.queries import Query, check_name, parse_queries
from separator.storage import StorageSettings, is_within, parse_uri
from separator.storage.patterns import make_selector
from separator.storage.tables import SUFFIXES, is_list

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
COMPILE = ("auto", "on", "off")
SIMILARITY = ("auto", "off")
ON_FAILED = ("exit3", "ok")
ONLY = ("all", "failed")
HIGHEST_GAIN_DB = 40.0
BITRATES_BPS = (1_000, 10_000_000)
MOST_ACTORS = 100_000


@dataclass(frozen=True)
class InputSettings:
    uri: str = MISSING
    include: list[str] = field(default_factory=list_media_patterns)
    exclude: list[str] = field(default_factory=list)
    uri_column: str | None = None
    queries_column: str | None = None
    tracks_column: str | None = None
    carry: list[str] = field(default_factory=list)
    allow_local: Any = "auto"

    def __post_init__(self) -> None:
        with named("input.uri: "):
            parse_uri(self.uri)
        with named("input.include/exclude: "):
            make_selector(self.include, self.exclude)
        if self.allow_local not in ("auto", True, False):
            raise RequestError(f"input.allow_local={self.allow_local!r}: auto, true or false")
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
        check_choice("model.device", self.device, DEVICES)
        check_choice("model.precision", self.precision, PRECISIONS)
        check_choice("model.compile", self.compile, COMPILE)
        with named("model."):
            check_policy(self.channels)
        if self.context not in ("exact", "pieces"):
            check_number("model.context", self.context, 0, 1e6)


@dataclass(frozen=True)
class RenditionSettings:
    name: str = MISSING
    gains_db: dict[str, float] = field(default_factory=dict)
    rest_db: float = 0.0
    within_s: list[Any] = field(default_factory=list)
    fade_s: float = 0.02
    loudness_lufs: float | None = None
    true_peak_dbtp: float = -1.0

    def parse(self) -> Rendition:
        if not self.gains_db:
            raise RequestError(f"{self.name!r}: gains_db names no query; 0 dB leaves one as it is")
        check_number("fade_s", self.fade_s, 0, 3600)
        check_number("true_peak_dbtp", self.true_peak_dbtp, -100, 100)
        if self.loudness_lufs is not None:
            check_number("loudness_lufs", self.loudness_lufs, -70, 20)
        return Rendition(
            check_name(self.name, "name"),
            {name: to_factor(db, f"gains_db.{name}") for name, db in self.gains_db.items()},
            to_factor(self.rest_db, "rest_db"),
            tuple(_parse_pair(pair) for pair in self.within_s),
            self.fade_s,
            self.loudness_lufs,
            self.true_peak_dbtp,
        )


def to_factor(gain_db: float, key: str) -> float:
    if not gain_db <= HIGHEST_GAIN_DB:  # NaN too
        raise RequestError(f"{key}={gain_db}: at most {HIGHEST_GAIN_DB:g} dB; -inf is silence")
    return 10 ** (gain_db / 20)


def _parse_pair(pair: Any) -> tuple[float, float]:
    try:
        start_s, stop_s = map(float, pair)
    except (TypeError, ValueError):
        raise RequestError(f"within_s={pair!r}: pairs of seconds, [[10, 12.5], ...]") from None
    if not 0 <= start_s < stop_s:
        raise RequestError(f"within_s={pair!r}: a pair is [start, stop], stop after start")
    return start_s, stop_s


@dataclass(frozen=True)
class OutputSettings:
    uri: str = MISSING
    format: str = "flac"
    bit_depth: int = 24
    bitrate_bps: int | None = None
    clip: str = "clip"
    dither: str = "none"
    residual: str = "none"
    similarity: str = "auto"
    renditions: list[RenditionSettings] = field(default_factory=list)
    remux: str = "none"
    remux_codec: str | None = None
    remux_bitrate_bps: int | None = None
    report: bool = False

    def __post_init__(self) -> None:
        with named("output.uri: "):
            parse_uri(self.uri)
        with named("output."):
            integer_bits = self.encode.integer_bits
        check_choice("output.residual", self.residual, RESIDUALS)
        check_choice("output.similarity", self.similarity, SIMILARITY)
        check_choice("output.remux", self.remux, REMUXES)
        for number, rendition in enumerate(self.renditions):
            with named(f"output.renditions[{number}]: "):
                rendition.parse()
        for name in ("bitrate_bps", "remux_bitrate_bps"):
            if (bitrate_bps := getattr(self, name)) is not None:
                check_number(f"output.{name}", bitrate_bps, *BITRATES_BPS)
        if self.remux != "none" and not self.renditions:
            raise RequestError(f"output.remux={self.remux!r}: needs output.renditions to put in")
        if self.residual != "none":
            self._check_residual(integer_bits)

    def _check_residual(self, integer_bits: int | None) -> None:
        why = f"output.residual={self.residual!r}: stem + residual = track holds for integers"
        if integer_bits is None:
            raise RequestError(f"{why}; use output.format flac, or wav with 16 or 24 bits")
        if self.clip == "scale" or self.dither != "none":
            raise RequestError(f"{why}, as they come; use output.clip=clip, output.dither=none")

    @property
    def encode(self) -> EncodeSettings:
        return EncodeSettings(self.format, self.bit_depth, self.clip, self.dither, self.bitrate_bps)

    @property
    def edits(self) -> Edits:
        renditions = tuple(rendition.parse() for rendition in self.renditions)
        return Edits(self.residual, self.encode.integer_bits, renditions)


@dataclass(frozen=True)
class RunSettings:
    span_s: float = 122.88
    actors: Any = "auto"
    only: str = "all"
    retry_failed: bool = False
    limit: int | None = None
    shard: str | None = None
    failed_assets: str = "exit3"

    def __post_init__(self) -> None:
        check_choice("run.only", self.only, ONLY)
        check_choice("run.failed_assets", self.failed_assets, ON_FAILED)
        actors = self.actors
        is_count = isinstance(actors, int) and not isinstance(actors, bool)
        if actors != "auto" and not (is_count and 1 <= actors <= MOST_ACTORS):
            raise RequestError(
                f"run.actors={actors!r}: must be auto or a whole number from 1 to {MOST_ACTORS:,}"
            )
        if self.limit is not None:
            check_number("run.limit", self.limit, 1, sys.maxsize)
        check_number("run.span_s", self.span_s, 1, 600)
        self.parse_shard()

    def parse_shard(self) -> tuple[int, int]:
        """(0, 1) for `null`, (i - 1, n) for `i/n`."""
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
    output: OutputSettings = field(default_factory=OutputSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    run: RunSettings = field(default_factory=RunSettings)
    report: ReportSettings = field(default_factory=ReportSettings)

    def __post_init__(self) -> None:
        if is_within(self.output.uri, self.input.uri):
            raise RequestError(
                f"output.uri={self.output.uri!r}: lies inside input.uri={self.input.uri!r}, so "
                "that stems would be taken for assets; choose another place"
            )
        queries = self.parse_queries()
        check_tracks(self.tracks)
        if self.input.queries_column is None:
            with named("output.renditions: "):
                check_renditions(self.output, queries)
        makes_mixes = self.output.renditions or self.output.residual != "none"
        if self.model.channels == "mono" and makes_mixes:
            raise RequestError(
                "model.channels='mono': a stem of one channel cannot be taken out of a track of"
                " several; use linked or each with residuals and renditions"
            )

    def parse_queries(self) -> list[Query]:
        """The queries for all assets; may be empty where a column of the list has them."""
        if self.input.queries_column is not None and not self.queries:
            return []
        return parse_queries(self.queries)

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON holds it: infinite gains as texts, which can be read back."""
        return json.loads(json.dumps(asdict(self)), parse_constant=str)


def read_config(path: Path, overrides: list[str]) -> JobConfig:
    return read_settings(JobConfig, path, overrides)


def read_output(path: Path, overrides: list[str]) -> tuple[OutputSettings, StorageSettings]:
    """The sections that say where the output lies; of the others only the keys are checked."""
    tree = merge_settings(JobConfig, path, overrides)
    if OmegaConf.is_missing(tree.output, "uri"):
        raise RequestError(f"{path}: output.uri is not set; add output.uri=...")
    return build(tree.output, path), build(tree.storage, path)


def check_renditions(output: OutputSettings, queries: Sequence[Query]) -> None:
    """Refuse a rendition that names no query, or that is called like a query or another one."""
    names = {query.name for query in queries}
    taken = {name.casefold() for name in names}
    for rendition in output.renditions:
        if absent := [name for name in rendition.gains_db if name not in names]:
            raise RequestError(
                f"{rendition.name!r} needs the query {absent[0]!r}; there are: "
                f"{', '.join(sorted(names))}"
            )
        if rendition.name.casefold() in taken:
            raise RequestError(f"{rendition.name!r}: a query or a rendition has that name already")
        taken.add(rendition.name.casefold())
