"""What a job can be told: YAML, `dotted.key=value` on top, and nothing that is not known.

`read_config` turns everything that cannot work into one `RequestError` that names the key. What a
key means stands beside it in configs/local.yaml.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from separator.audio.channels import check_policy
from separator.audio.renditions import REMUXES, RESIDUALS, Edits, Rendition
from separator.errors import RequestError
from separator.media.choose import check_tracks
from separator.media.encode import EncodeSettings
from separator.queries import Query, check_name, parse_queries
from separator.storage import StorageSettings, parse_uri
from separator.storage.patterns import make_selector
from separator.storage.tables import SUFFIXES, is_list

VIDEO = "3gp avi flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv"
AUDIO = "aac ac3 aif aiff amr caf dts eac3 flac m4a m4b mka mp2 mp3 oga ogg opus w64 wav wma"
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
ON_FAILED = ("exit3", "ok")
ONLY = ("all", "failed")
HIGHEST_GAIN_DB = 40.0

Settings = TypeVar("Settings")


def list_media_patterns() -> list[str]:
    return [f"*.{name}" for name in f"{VIDEO} {AUDIO}".split()]


@dataclass(frozen=True)
class InputSettings:
    uri: str = MISSING
    include: list[str] = field(default_factory=list_media_patterns)
    exclude: list[str] = field(default_factory=list)
    uri_column: str | None = None
    queries_column: str | None = None
    tracks_column: str | None = None
    carry: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ModelSettings:
    name: str = "mini"
    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"
    channels: str = "linked"
    context: Any = "exact"


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
    retry_failed: bool = True
    limit: int | None = None
    shard: str | None = None
    failed_assets: str = "exit3"


@dataclass(frozen=True)
class JobConfig:
    input: InputSettings = field(default_factory=InputSettings)
    tracks: Any = "all"
    queries: list[Any] = field(default_factory=list)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        for key, uri in (("input.uri", self.input.uri), ("output.uri", self.output.uri)):
            _explain(key, lambda uri=uri: parse_uri(uri))
        _explain(
            "input.include/exclude", lambda: make_selector(self.input.include, self.input.exclude)
        )
        if is_within(self.output.uri, self.input.uri):
            raise RequestError(
                f"output.uri={self.output.uri!r}: lies inside input.uri={self.input.uri!r}, so "
                "that stems would be taken for assets; choose another place"
            )
        self._check_columns()
        _explain("queries", self.parse_queries)
        check_tracks(self.tracks)
        _check("model.device", self.model.device, DEVICES)
        _check("model.precision", self.model.precision, PRECISIONS)
        _check("model.compile", self.model.compile, ("auto", "on", "off"))
        _explain("model.channels", lambda: check_policy(self.model.channels))
        _explain("output", lambda: self.output.encode)
        self._check_edits()
        _check("run.only", self.run.only, ONLY)
        _check("run.failed_assets", self.run.failed_assets, ON_FAILED)
        actors = self.run.actors
        if actors != "auto" and not (isinstance(actors, int) and actors >= 1):
            raise RequestError(f"run.actors={actors!r}: must be auto or a number from 1 on")
        if self.run.limit is not None and self.run.limit < 1:
            raise RequestError(f"run.limit={self.run.limit}: must be at least 1")
        if not 1 <= self.run.span_s <= 600:
            raise RequestError(f"run.span_s={self.run.span_s}: must be from 1 to 600")
        self.parse_shard()

    def _check_columns(self) -> None:
        """Columns are a list's."""
        for key in ("uri_column", "queries_column", "tracks_column", "carry"):
            value = getattr(self.input, key)
            if value and not is_list(self.input.uri):
                raise RequestError(
                    f"input.{key}={value!r}: input.uri={self.input.uri!r} is no list; a list ends "
                    f"in {', '.join(SUFFIXES)}"
                )

    def _check_edits(self) -> None:
        output = self.output
        _check("output.residual", output.residual, RESIDUALS)
        _check("output.similarity", output.similarity, ("auto", "off"))
        _check("output.remux", output.remux, REMUXES)
        if output.remux != "none" and not output.renditions:
            raise RequestError(
                f"output.remux={output.remux!r}: needs output.renditions: what is to be heard"
            )
        for number, rendition in enumerate(output.renditions):
            _explain(f"output.renditions[{number}]", rendition.parse)
        if self.input.queries_column is None:
            _explain("output.renditions", lambda: check_renditions(output, self.parse_queries()))
        if self.model.channels == "mono" and (output.renditions or output.residual != "none"):
            raise RequestError(
                "model.channels='mono': a stem of one channel cannot be taken out of a track of"
                " several; use linked or each with residuals and renditions"
            )
        if output.residual == "none":
            return
        why = f"output.residual={output.residual!r}: stem + residual = track holds for integers"
        if output.encode.integer_bits is None:
            raise RequestError(f"{why}; use output.format flac, or wav with 16 or 24 bits")
        if output.clip == "scale" or output.dither != "none":
            raise RequestError(f"{why}, as they come; use output.clip=clip, output.dither=none")

    def parse_queries(self) -> list[Query]:
        """Of all assets; may be none where a column says what is asked of each."""
        if self.input.queries_column is not None and not self.queries:
            return []
        return parse_queries(self.queries)

    def parse_shard(self) -> tuple[int, int]:
        """(0, 1) for `null`, (i - 1, n) for `i/n`."""
        if self.run.shard is None:
            return 0, 1
        number, found, count = str(self.run.shard).partition("/")
        if found and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return int(number) - 1, int(count)
        raise RequestError(f"run.shard={self.run.shard!r}: must be i/n, from 1/n to n/n")

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: infinite gains as texts, which can be read back."""
        return json.loads(json.dumps(asdict(self)), parse_constant=str)


def read_settings(kind: type[Settings], path: Path, overrides: list[str]) -> Settings:
    """A YAML file with overrides as a dataclass; anything unknown, missing or wrong is one line."""
    try:
        merged: Any = OmegaConf.merge(
            OmegaConf.structured(kind), OmegaConf.load(path), OmegaConf.from_dotlist(overrides)
        )
        if missing := sorted(OmegaConf.missing_keys(merged)):
            raise RequestError(f"{path}: {missing[0]} is not set")
        return OmegaConf.to_object(merged)  # pyright: ignore[reportReturnType]
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}") from None
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise RequestError(f"{path}: {key}{str(error).splitlines()[0]}") from None


def read_config(path: Path, overrides: list[str]) -> JobConfig:
    return read_settings(JobConfig, path, overrides)


def check_renditions(output: OutputSettings, queries: Sequence[Query]) -> None:
    """What a rendition refers to has to be asked for, and nothing may be called as it is."""
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


def is_within(uri: str, folder_uri: str) -> bool:
    return f"{parse_uri(uri).uri}/".startswith(parse_uri(folder_uri).uri.rstrip("/") + "/")


def _check(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RequestError(f"{key}={value!r}: must be one of {', '.join(allowed)}")


def _explain(key: str, action: Any) -> None:
    """Run a check whose message does not know which key it is about."""
    try:
        action()
    except RequestError as error:
        raise RequestError(f"{key}: {error}") from None
