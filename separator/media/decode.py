"""Decode one track of a local file to blocks of float32 at its own rate, from the file's zero on.

Frames come from a decoder's process and are placed on the timeline; channels are never mixed.
Shapes: T samples, C channels.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from separator.audio.spans import GRID_HZ
from separator.errors import (
    LayoutUnsupported,
    MediaDamaged,
    MediaTooLarge,
    MediaTruncated,
    MediaUnreadable,
)
from separator.media.chains import find_links
from separator.media.decoder import borrow_decoder
from separator.media.ffmpeg import raise_for_exit
from separator.media.length import find_cut, find_end, states_length
from separator.media.limits import Limits, check_file, show_name
from separator.media.probe import Media, Track
from separator.media.timeline import COARSEST_ROUNDING_S, Repairs, Timeline

BLOCK_SAMPLES = 1 << 16
USUAL_RATES_HZ = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
RATES_HZ = range(1000, 768_000 + 1)
MAX_CHANNELS = 64
# Bare streams have no timestamps: libav counts packets, as if the rate never changed.
WITHOUT_TIMES = {
    "aac", "ac3", "amr", "amrnb", "amrwb", "dts", "dtshd", "eac3", "gsm", "loas", "mlp", "mp3",
    "truehd",
}  # fmt: skip
# An avi may count the times of these codecs from bytes, as if their bit rate were constant.
VARIABLE_CODECS = {"aac", "mp3"}
# Containers in which packets share timestamps: libav counts missing times with the first rate.
COUNTED = {"mpeg", "mpegts"}
# Frames with a wrong checksum count as errors in codecs whose encoders always write a right one.
CHECKED_CODECS = {"flac", "tta", "wavpack"}
CHECKED = {"err_detect": "crccheck+explode"}
RESAMPLING = {"filter_size": "64", "phase_shift": "10", "linear_interp": "1"}
# Containers of plain samples: the only packet that cannot be decoded is a cut sample at the end.
BARE_SAMPLES = {"aiff", "au", "caf", "sox", "voc", "w64", "wav"}
# A gap that is longer than this, and ends this long after the stated end, has a damaged timestamp.
MAX_BEYOND_S = 10.0
MIN_MISSING_S = 0.1  # less is not reported: decoders and headers differ by up to a packet


def output_rate(track: Track) -> int:
    """Return the rate of the decoded blocks: the track's own if it fits the grid, else the next
    higher usual one."""
    if track.rate_hz % GRID_HZ == 0:
        return track.rate_hz
    higher = [rate_hz for rate_hz in USUAL_RATES_HZ if rate_hz > track.rate_hz]
    return higher[0] if higher else -(-track.rate_hz // GRID_HZ) * GRID_HZ


class DecodedTrack(Iterator[np.ndarray]):
    """The blocks of one track, as `decode` returns them; `close` ends its decoder."""

    def __init__(self, blocks: Generator[np.ndarray, None, None], timeline: Timeline) -> None:
        self._blocks, self._timeline = blocks, timeline

    def __next__(self) -> np.ndarray:
        return next(self._blocks)

    def close(self) -> None:
        """End the decoder; no further blocks follow."""
        self._blocks.close()

    @property
    def num_before(self) -> int:
        """Samples of silence before a track that starts later than its file."""
        return self._timeline.num_before

    @property
    def repairs(self) -> Repairs:
        """The repairs so far; complete after the last block."""
        return self._timeline.repairs


def decode(
    path: Path,
    media: Media,
    track: Track,
    limits: Limits | None = None,
    *,
    block_samples: int = BLOCK_SAMPLES,
) -> DecodedTrack:
    """Decode a track to blocks (C, T) of `block_samples`, the last one shorter.

    If an error is raised, the blocks before it are not the whole track. Closing the result early
    ends the decoder; after the last block, its `repairs` describe the changes made to the track:

        with closing(decode(path, media, track)) as blocks:
            for block_CT in blocks:
                ...
        print(blocks.repairs.describe())
    """
    rate_hz = output_rate(track)
    tick_s = track.tick_s if rate_hz == track.rate_hz else max(track.tick_s, 2 / rate_hz)
    zero = None
    if media.zero_s is not None:
        zero = round(media.zero_s * rate_hz)
    has_times = media.container not in WITHOUT_TIMES
    is_variable = media.container == "avi" and track.codec in VARIABLE_CODECS
    has_gaps = not (is_variable and track.tick_s <= COARSEST_ROUNDING_S)
    timeline = Timeline(rate_hz, tick_s, zero, has_times, media.has_splices, has_gaps)
    blocks = _decode(path, media, track, limits or Limits(), timeline, block_samples)
    return DecodedTrack(blocks, timeline)


def _decode(
    path: Path, media: Media, track: Track, limits: Limits, timeline: Timeline, block_samples: int
) -> Generator[np.ndarray, None, None]:
    check_file(path)
    _check_track(path, track)
    # Fail before the first block, so that no part of a track is separated in vain.
    _check_length(path, track, limits, find_end(path, media, track) or 0.0)
    links = find_links(path, media.container)
    timeline.num_links = max(1, len(links))
    rate_hz, num_samples = timeline.rate_hz, 0
    cut = find_cut(media, track, rate_hz)
    blocks = _Blocks(track.num_channels, block_samples)
    with borrow_decoder(path, limits) as decoder:
        decoder.ask(path, limits, make_request(media, track, links))
        for frames, frames_CT in decoder.receive():
            for silence, samples_CT in _place(frames, frames_CT, timeline):
                end_s = (num_samples + silence) / rate_hz
                _check_length(path, track, limits, end_s + samples_CT.shape[1] / rate_hz)
                _check_gap(path, media, track, silence / rate_hz, end_s)
                keep = None if cut is None else max(0, cut - num_samples - silence)
                yield from blocks.add(silence, samples_CT[:, :keep])
                num_samples += silence + samples_CT[:, :keep].shape[1]
        answer, timeline.errors = decoder.answer, decoder.tail
    if media.container == "flac" and num_samples:
        # In a bare flac, a damaged frame may share a packet with others and be lost without an
        # error: estimate the number of lost frames from the gaps.
        num_lost = round(answer.get("frames", 0) * timeline.num_filled / num_samples)
        answer["errors"] = max(num_lost, answer.get("errors", 0))
    end_s = num_samples / rate_hz
    missing_s = _check_end(path, media, track, limits, end_s, answer, timeline.errors)
    timeline.num_missing = round(missing_s * rate_hz)
    if blocks.rest().size:
        yield blocks.rest()


def _check_gap(path: Path, media: Media, track: Track, gap_s: float, end_s: float) -> None:
    if media.duration_s is None or gap_s <= MAX_BEYOND_S:
        return
    if end_s > media.duration_s + MAX_BEYOND_S:
        raise MediaDamaged(
            f"{show_name(path)}: track {track.index} has a gap of {gap_s:.0f} s that ends after the"
            f" {media.duration_s:.3f} s that the file states"
        )


def make_request(media: Media, track: Track, links: list[tuple[int, int]]) -> dict[str, object]:
    """Make the request that tells the decoder's process what to do."""
    return {
        "do": "decode",
        "counted": media.container in COUNTED,
        "stream": track.stream_index,
        "channels": track.num_channels,
        "rate_hz": output_rate(track),
        "codec_options": CHECKED if track.codec in CHECKED_CODECS else {},
        "resampling": RESAMPLING,
        "links": links,
    }


def _check_track(path: Path, track: Track) -> None:
    found = f"{show_name(path)}: track {track.index} ({track.codec})"
    if track.rate_hz not in RATES_HZ:
        raise LayoutUnsupported(
            f"{found} has rate_hz={track.rate_hz}; {RATES_HZ[0]} to {RATES_HZ[-1]} can be handled"
        )
    if not 1 <= track.num_channels <= MAX_CHANNELS:
        raise LayoutUnsupported(
            f"{found} has {track.num_channels} channels; 1 to {MAX_CHANNELS} can be handled"
        )


def _check_length(path: Path, track: Track, limits: Limits, seconds: float) -> None:
    if seconds > limits.max_duration_s:
        raise MediaTooLarge(
            f"{show_name(path)}: track {track.index} is longer than"
            f" max_duration_s={limits.max_duration_s:g}"
        )


def _place(
    frames: list[tuple[int | None, int]], samples_CT: np.ndarray, timeline: Timeline
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (silence before, samples (C, T)) for the frames of one message."""
    runs: list[tuple[int, int, int]] = []  # silence, start, stop
    taken = 0
    for timestamp, num_samples in frames:
        silence, drop = timeline.place(timestamp, num_samples)
        start, taken = taken + drop, taken + num_samples
        if runs and not silence and not drop:
            runs[-1] = (*runs[-1][:2], taken)
        elif silence or start < taken:
            runs.append((silence, start, taken))
    yield from ((silence, samples_CT[:, start:stop]) for silence, start, stop in runs)


def _check_end(
    path: Path,
    media: Media,
    track: Track,
    limits: Limits,
    end_s: float,
    answer: dict[str, Any],
    tail: str,
) -> float:
    """Return the seconds missing at the end; raise if too much is missing or damaged."""
    name = show_name(path)
    if "error" in answer:
        raise_for_exit(path, limits, 1, tail)
    if answer["channels"]:
        raise LayoutUnsupported(
            f"{name}: track {track.index} has {track.num_channels} channels by its header and"
            f" decodes to {answer['channels']}"
        )
    stated_s = find_end(path, media, track)
    if stated_s is not None and not states_length(stated_s, end_s):
        raise MediaTruncated(
            f"{name}: track {track.index} ends at {end_s:.3f} s of {stated_s:.3f} s that its header"
            f" states. {tail}".rstrip()
        )
    bare = media.container in BARE_SAMPLES and track.codec.startswith("pcm_")
    share = answer["errors"] / max(1, answer["errors"] + answer["frames"])
    if share > limits.max_error_share and not bare:
        raise MediaDamaged(
            f"{name}: more than max_error_share={limits.max_error_share:g} of its packets cannot"
            f" be decoded: {tail}"
        )
    if end_s == 0 and tail:
        raise MediaUnreadable(f"{name}: nothing can be decoded: {tail}")
    missing_s = 0.0 if stated_s is None else stated_s - end_s
    return missing_s if missing_s > MIN_MISSING_S else 0.0


class _Blocks:
    """Gather samples into arrays (C, T) of one length."""

    def __init__(self, num_channels: int, block_samples: int) -> None:
        self._shape = (num_channels, block_samples)
        self._block_CT = np.zeros(self._shape, np.float32)
        self._filled = 0

    def add(self, silence: int, samples_CT: np.ndarray) -> Iterator[np.ndarray]:
        while silence or samples_CT.shape[1]:
            room = self._shape[1] - self._filled
            if silence:  # blocks begin as zeros
                count = min(silence, room)
                silence -= count
            else:
                count = min(samples_CT.shape[1], room)
                self._block_CT[:, self._filled : self._filled + count] = samples_CT[:, :count]
                samples_CT = samples_CT[:, count:]
            self._filled += count
            if self._filled == self._shape[1]:
                yield self._block_CT
                self._block_CT, self._filled = np.zeros(self._shape, np.float32), 0

    def rest(self) -> np.ndarray:
        return self._block_CT[:, : self._filled]
