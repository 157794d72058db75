"""Define and check the settings of an export; configs/export.yaml documents every key."""

import json
from dataclasses import asdict, dataclass, field

from omegaconf import MISSING

from separator.audio.renditions import RENDITION, STEM
from separator.config import is_within
from separator.errors import RequestError
from separator.storage import StorageSettings, parse_uri

KINDS = (STEM, RENDITION)
EXTENSIONS = {"webdataset": "tar", "parquet": "parquet"}  # by format


@dataclass(frozen=True)
class InputSettings:
    uri: str = MISSING
    kind: str = "stem"
    where: str = "true"
    unfinished: bool = False


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


@dataclass(frozen=True)
class ExportConfig:
    input: InputSettings = field(default_factory=InputSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)

    def __post_init__(self) -> None:
        for key, uri in (("input.uri", self.input.uri), ("output.uri", self.output.uri)):
            try:
                parse_uri(uri)
            except RequestError as error:
                raise RequestError(f"{key}: {error}") from None
        if is_within(self.output.uri, self.input.uri):
            raise RequestError(
                f"output.uri={self.output.uri!r}: lies inside input.uri={self.input.uri!r}; choose"
                " a folder outside it"
            )
        if self.output.format not in EXTENSIONS:
            raise RequestError(
                f"output.format={self.output.format!r}: must be one of {', '.join(EXTENSIONS)}"
            )
        if self.input.kind not in KINDS:
            raise RequestError(f"input.kind={self.input.kind!r}: must be one of {', '.join(KINDS)}")
        if not self.output.shard_mb > 0:
            raise RequestError(f"output.shard_mb={self.output.shard_mb}: must be more than 0")
        if not 0 <= self.split.valid <= 1:
            raise RequestError(f"split.valid={self.split.valid}: must be a share, from 0 to 1")

    def describe(self) -> str:
        """Return as JSON all settings that change the content of shards, which URIs do not."""
        output = {key: value for key, value in asdict(self.output).items() if key != "uri"}
        about = {
            "kind": self.input.kind,
            "where": self.input.where,
            "split": asdict(self.split),
            "output": output,
        }
        return json.dumps(about, sort_keys=True)
