"""Define and check the settings of an export; configs/export.yaml documents every key."""

import json
import re
from dataclasses import asdict, dataclass, field

from omegaconf import MISSING

from separator.audio.renditions import RENDITION, STEM
from separator.config_file import check_choice, check_number, named
from separator.errors import RequestError
from separator.storage import StorageSettings, leads_into, parse_uri

KINDS = (STEM, RENDITION)
CUTS = ("none", "presence")
WEBDATASET, PARQUET, LHOTSE = "webdataset", "parquet", "lhotse_shar"
FORMATS = (WEBDATASET, PARQUET, LHOTSE)
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
LIMIT = 1e9  # seconds or MB: beyond any machine


@dataclass(frozen=True)
class InputSettings:
    uri: str = MISSING
    kind: str = "stem"
    where: str = "true"
    cut: str = "none"
    pad_s: float = 0.5
    unfinished: bool = False
    expression_time_s: float = 600.0
    expression_memory_mb: float | None = None


@dataclass(frozen=True)
class SplitSettings:
    valid: float = 0.05
    by: str = "asset_uri"
    seed: int = 0


@dataclass(frozen=True)
class OutputSettings:
    uri: str = MISSING
    format: str = "webdataset"
    shard_mb: float = 500.0
    residual: bool = False
    licence: str | None = None
    hub: str | None = None
    private: bool = True


@dataclass(frozen=True)
class ExportConfig:
    input: InputSettings = field(default_factory=InputSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)

    def __post_init__(self) -> None:
        for key, uri in (("input.uri", self.input.uri), ("output.uri", self.output.uri)):
            with named(f"{key}: "):
                parse_uri(uri)
        if leads_into(self.output.uri, self.input.uri):
            raise RequestError(
                f"output.uri={self.output.uri!r}: lies inside input.uri={self.input.uri!r}; choose"
                " a folder outside it"
            )
        check_choice("output.format", self.output.format, FORMATS)
        check_choice("input.kind", self.input.kind, KINDS)
        check_choice("input.cut", self.input.cut, CUTS)
        check_number("input.pad_s", self.input.pad_s, 0, LIMIT)
        if self.input.cut != "none" and self.input.kind != STEM:
            raise RequestError("input.cut='presence': is for stems; input.kind is rendition")
        for key, text in (("input.where", self.input.where), ("split.by", self.split.by)):
            if not text.strip():
                raise RequestError(f"{key}={text!r}: is empty; give an SQL expression")
        check_number("input.expression_time_s", self.input.expression_time_s, 0.001, LIMIT)
        if self.input.expression_memory_mb is not None:
            check_number("input.expression_memory_mb", self.input.expression_memory_mb, 100, LIMIT)
        check_number("output.shard_mb", self.output.shard_mb, 0.001, LIMIT)
        check_number("split.valid", self.split.valid, 0, 1)
        if self.output.hub is not None and not HUB_NAME.fullmatch(self.output.hub):
            raise RequestError(
                f"output.hub={self.output.hub!r}: is no name of a data set on the Hugging Face Hub;"
                " write owner/name"
            )

    @property
    def is_cut(self) -> bool:
        """Tell whether a sample is a stretch of a stem."""
        return self.input.cut != "none"

    def describe(self) -> str:
        """Return as JSON all settings that change the content of shards; their place does not."""
        places = ("uri", "hub", "private")
        output = {key: value for key, value in asdict(self.output).items() if key not in places}
        about = {
            "kind": self.input.kind,
            "where": self.input.where,
            **({"cut": self.input.cut, "pad_s": self.input.pad_s} if self.is_cut else {}),
            "split": asdict(self.split),
            "output": output,
        }
        return json.dumps(about, sort_keys=True)
