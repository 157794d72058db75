"""Describe the samples of a track: rate, channels, layout. Data only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AudioFormat:
    """The format of a track or stem, e.g. `AudioFormat(48_000, 6, "5.1")`.

    `layout` is ffmpeg's name of the channel order; None if it is unknown or the usual one.
    """

    rate_hz: int
    num_channels: int
    layout: str | None = None

    def __post_init__(self) -> None:
        assert self.rate_hz > 0 and self.num_channels > 0, self
