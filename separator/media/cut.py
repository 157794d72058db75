"""Cut a stretch out of a track. Shapes: C channels, T samples."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separator.audio.window import Times
from separator.media.decode import output_rate
from separator.media.joined import decode_track
from separator.media.probe import Media, Track


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a track."""

    samples: np.ndarray  # (C, T)
    rate_hz: int


def read_blocks(path: Path, media: Media, track: Track) -> Generator[np.ndarray, None, None]:
    with closing(decode_track(path, media, track)) as blocks:
        yield from blocks


def cut(path: Path, media: Media, track: Track, window: Times) -> Excerpt:
    """Decode a track from its beginning and keep a stretch of it: seeking would not be exact."""
    rate_hz = output_rate(track)
    start, stop = (round(each * rate_hz) for each in window)
    kept, position = [np.zeros((track.num_channels, 0), np.float32)], 0
    with closing(read_blocks(path, media, track)) as blocks:
        for block_CT in blocks:
            kept.append(block_CT[:, max(0, start - position) : max(0, stop - position)].copy())
            position += block_CT.shape[1]
            if position >= stop:
                break
    samples_CT = np.concatenate(kept, axis=1)
    missing = max(0, stop - start - samples_CT.shape[1])
    return Excerpt(np.pad(samples_CT, ((0, 0), (0, missing))), rate_hz)
