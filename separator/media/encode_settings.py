"""Define how audio files are written, and the tags that they get."""

from dataclasses import dataclass

from separator.errors import RequestError
from separator.media.formats import FORMATS
from separator.media.quantise import DITHERS

CLIPS = ("clip", "scale", "error")


@dataclass(frozen=True)
class EncodeSettings:
    """Format and quality. `bit_depth` is for wav (16, 24, 32: float) and flac (16, 24),
    `bitrate_bps` for the lossy formats (None: the encoder's own)."""

    format: str = "flac"
    bit_depth: int = 24
    clip: str = "clip"
    dither: str = "none"
    bitrate_bps: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise RequestError(f"format={self.format!r}: one of {', '.join(FORMATS)}")
        depths = FORMATS[self.format].bit_depths
        if depths and self.bit_depth not in depths:
            raise RequestError(f"bit_depth={self.bit_depth}: {self.format} has {depths}")
        if self.clip not in CLIPS:
            raise RequestError(f"clip={self.clip!r}: one of {', '.join(CLIPS)}")
        if self.dither not in DITHERS:
            raise RequestError(f"dither={self.dither!r}: one of {', '.join(DITHERS)}")

    @property
    def integer_bits(self) -> int | None:
        """The size of the written integers; None for floats and lossy formats."""
        lossless = bool(FORMATS[self.format].bit_depths)
        return self.bit_depth if lossless and self.bit_depth < 32 else None


@dataclass(frozen=True)
class Tags:
    title: str = ""  # of a stem: its query
    source: str = ""  # the asset
    license: str = ""
