"""Decode a track that may join several mono streams, and find those that are silent.

Each stream has a decoder of its own: all are read side by side, one block of each in memory.
Shapes: C channels, T samples.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from separator.media.decode import BLOCK_SAMPLES, MIN_MISSING_S, DecodedTrack, decode, output_rate
from separator.media.groups import leave_out
from separator.media.limits import Limits
from separator.media.probe import Media, Track
from separator.media.timeline import Repairs

SILENT_PEAK = 2.0**-15  # one step of 16 bits: -90 dB


@dataclass(frozen=True)
class JoinedRepairs:
    """The repairs of each stream of a track, with its number among the audio streams."""

    streams: tuple[tuple[int, Repairs], ...]

    def describe(self) -> str:
        """List the repairs in a line; empty if there are none."""
        lines = [(index, repairs.describe()) for index, repairs in self.streams]
        return "; ".join(f"stream {index}: {line}" for index, line in lines if line)


class Joined(Iterator[np.ndarray]):
    """The blocks of a track whose channels are streams; `close` ends all of its decoders."""

    def __init__(
        self, decodings: Sequence[DecodedTrack], indexes: Sequence[int], rate_hz: int
    ) -> None:
        self._decodings, self._indexes, self._rate_hz = decodings, indexes, rate_hz
        self._lengths = np.zeros(len(decodings), np.int64)

    def __next__(self) -> np.ndarray:
        # All blocks have the same length, except the last one of each stream.
        blocks = [next(decoding, None) for decoding in self._decodings]
        widths = np.array([0 if block is None else block.shape[1] for block in blocks])
        if not widths.any():
            raise StopIteration
        self._lengths += widths
        joined_CT = np.zeros((len(blocks), widths.max()), np.float32)
        for channel, block_CT in enumerate(blocks):
            if block_CT is not None:
                joined_CT[channel, : widths[channel]] = block_CT[0]
        return joined_CT

    def close(self) -> None:
        """End the decoders; no further blocks follow."""
        for decoding in self._decodings:
            decoding.close()

    @property
    def repairs(self) -> JoinedRepairs:
        """The repairs so far; complete after the last block. If a stream ends more than 0.1 s
        before the longest one, its missing samples are counted."""
        found = []
        missing = self._lengths.max() - self._lengths
        for decoding, index, count in zip(self._decodings, self._indexes, missing, strict=True):
            repairs = decoding.repairs
            if count > MIN_MISSING_S * self._rate_hz:
                repairs = replace(repairs, num_missing=max(int(count), repairs.num_missing))
            found.append((index, repairs))
        return JoinedRepairs(tuple(found))


def decode_track(
    path: Path,
    media: Media,
    track: Track,
    limits: Limits | None = None,
    *,
    block_samples: int = BLOCK_SAMPLES,
) -> DecodedTrack | Joined:
    """Decode a track as `decode` does, also one that joins several streams: each stream keeps its
    own start time, and shorter streams end in silence."""
    if not track.streams:
        return decode(path, media, track, limits, block_samples=block_samples)
    decodings = [
        decode(path, media, stream, limits, block_samples=block_samples) for stream in track.streams
    ]
    indexes = [stream.index for stream in track.streams]
    return Joined(decodings, indexes, output_rate(track))


def drop_silent(
    path: Path, media: Media, track: Track, limits: Limits | None = None
) -> tuple[Track, str]:
    """Leave the silent streams out of a group; return the track and a line about what was left out.

    Each stream is decoded until it sounds, a silent one to its end.
    """
    silent = [s for s in track.streams if is_silent(path, media, s, limits)]
    left = leave_out(track, silent)
    if left is track:
        return track, ""
    numbers = ", ".join(str(stream.index) for stream in silent)
    return left, f"silent streams left out: {numbers}"


def is_silent(path: Path, media: Media, track: Track, limits: Limits | None = None) -> bool:
    """Tell whether no sample of a track is above one step of 16 bits."""
    with contextlib.closing(decode(path, media, track, limits)) as blocks:
        return all(np.abs(block_CT).max(initial=0.0) <= SILENT_PEAK for block_CT in blocks)
