"""Decode one track of a local file to blocks of float32 at its own rate, from the file's zero on.

Samples come from ffmpeg and are placed on the timeline, but neither mixed nor converted.
Shapes: T samples, C channels.
"""

from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path

import ffmpeg
import numpy as np

from separator.errors import (
    LayoutUnsupported,
    MediaDamaged,
    MediaTooLarge,
    MediaTruncated,
    MediaUnreadable,
)
from separator.media.chains import find_chain
from separator.media.ffmpeg import QUIET, SIDE, Child, raise_for_exit
from separator.media.length import find_cut, find_end, states_length
from separator.media.limits import SAFE_INPUT, Limits, check_file, put_paths, show_name
from separator.media.probe import Media, Track
from separator.media.timeline import COARSEST_ROUNDING_S, Repairs, Timeline

BLOCK_SAMPLES = 1 << 16
SAMPLE_BYTES = 4
GRID_HZ = 25  # spans are cut on a grid of 0.32 s, whole samples at multiples of this rate
USUAL_RATES_HZ = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
RATES_HZ = range(1000, 768_000 + 1)
MOST_CHANNELS = 64
# Bare streams: ffmpeg derives their timestamps from packets, as if the rate never changed.
WITHOUT_TIMES = {
    "aac", "ac3", "amr", "amrnb", "amrwb", "dts", "dtshd", "eac3", "gsm", "loas", "mlp", "mp3",
    "truehd",
}  # fmt: skip
# Added to all times. Without it ffmpeg moves a transport stream (and ogg) to the start of the one
# decoded stream instead of the file's. A whole number of ticks of any fine time base, and far below
# the 10 s at which ffmpeg assumes a splice.
OFFSET_S = 1
# Frames with a wrong checksum count as errors in codecs whose encoders always write a right one.
CHECKED_CODECS = {"flac"}
# Their bytes are samples: the one packet that cannot be decoded is a piece of a sample at the end.
BARE_SAMPLES = {"aiff", "au", "caf", "sox", "voc", "w64", "wav"}
# Silence that ends later than this after the stated end comes of a damaged time.
MOST_BEYOND_S = 10.0
LEAST_MISSING_S = 0.1  # players and headers differ by up to a packet


def output_rate(track: Track) -> int:
    """Return the rate of the decoded blocks: the track's own, or the next that fits the grid."""
    if track.rate_hz % GRID_HZ == 0:
        return track.rate_hz
    higher = [rate_hz for rate_hz in USUAL_RATES_HZ if rate_hz > track.rate_hz]
    return higher[0] if higher else -(-track.rate_hz // GRID_HZ) * GRID_HZ


class Decoding(Iterator[np.ndarray]):
    """The blocks of one track, as `decode` returns them; `close` ends ffmpeg."""

    def __init__(self, blocks: Generator[np.ndarray, None, None], timeline: Timeline) -> None:
        self._blocks, self._timeline = blocks, timeline

    def __next__(self) -> np.ndarray:
        return next(self._blocks)

    def close(self) -> None:
        """End ffmpeg; further blocks do not come."""
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
) -> Decoding:
    """Decode a track to blocks (C, T) of `block_samples`, the last one shorter.

    An error may follow blocks: then these are not the whole track. Closing the result ends ffmpeg;
    after the last block, its `repairs` describe the changes made to the track:

        with closing(decode(path, media, track)) as blocks:
            for block_CT in blocks:
                ...
        print(blocks.repairs.describe())
    """
    rate_hz = output_rate(track)
    tick_s = track.tick_s if rate_hz == track.rate_hz else max(track.tick_s, 2 / rate_hz)
    zero = None
    if media.zero_s is not None:
        zero = round((media.zero_s - media.start_s + _choose_offset(track)) * rate_hz)
    timeline = Timeline(rate_hz, tick_s, zero, media.container not in WITHOUT_TIMES)
    blocks = _decode(path, media, track, limits or Limits(), timeline, block_samples)
    return Decoding(blocks, timeline)


def _decode(
    path: Path, media: Media, track: Track, limits: Limits, timeline: Timeline, block_samples: int
) -> Generator[np.ndarray, None, None]:
    check_file(path)
    _check_track(path, track)
    # Before the first block: what comes of it would be separated for nothing.
    _check_length(path, track, limits, find_end(path, media, track) or 0.0)
    chain = find_chain(path, media.container)
    timeline.num_links = chain.num_links
    timeline.has_times = timeline.has_times and chain.has_times
    rate_hz, num_samples = timeline.rate_hz, 0
    cut = find_cut(media, track, rate_hz)
    blocks = _Blocks(track.num_channels, block_samples)
    command = build_command(path, media, track, limits)
    with Child(command, path, limits) as child:
        for silence, samples_TC in _place(path, track, child.read(), timeline):
            _check_length(path, track, limits, timeline.position / rate_hz)
            _check_gap(path, media, track, silence / rate_hz, timeline.position / rate_hz)
            keep = None if cut is None else max(0, cut - num_samples - silence)
            yield from blocks.add(silence, samples_TC[:keep])
            num_samples += silence + len(samples_TC[:keep])
        code, timeline.errors = child.finish()
    tail = timeline.errors
    missing_s = _check_end(path, media, track, limits, num_samples / rate_hz, code, tail)
    timeline.num_missing = round(missing_s * rate_hz)
    if blocks.rest().size:
        yield blocks.rest()


def _check_gap(path: Path, media: Media, track: Track, gap_s: float, end_s: float) -> None:
    if media.duration_s is None or gap_s <= MOST_BEYOND_S:
        return
    if end_s > media.duration_s + MOST_BEYOND_S:
        raise MediaDamaged(
            f"{show_name(path)}: track {track.index} has a gap of {gap_s:.0f} s that ends after the"
            f" {media.duration_s:.3f} s that the file states"
        )


def build_command(path: Path, media: Media, track: Track, limits: Limits) -> list[str]:
    """Build ffmpeg's command: interleaved float32 on stdout, packets' times on a second pipe."""
    options: dict[str, object] = {"threads": 1, "itsoffset": _choose_offset(track), **SAFE_INPUT}
    if track.codec in CHECKED_CODECS:
        options["err_detect"] = "crccheck+explode"
    stream = ffmpeg.input("path:input", **options)[str(track.stream_index)]
    rate_hz = output_rate(track)
    bare = media.container in BARE_SAMPLES and track.codec.startswith("pcm_")
    most_errors = 1.0 if bare else limits.max_error_share
    same = {"acodec": "pcm_f32le", "ar": rate_hz, "max_error_rate": most_errors}
    if rate_hz != track.rate_hz:
        same["af"] = f"aresample={rate_hz}:filter_size=64:phase_shift=10:linear_interp=1"
    samples = ffmpeg.output(stream, "pipe:1", format="f32le", **same)
    times = ffmpeg.output(stream, SIDE, format="framecrc", flush_packets=1, **same)
    command = ffmpeg.merge_outputs(samples, times).global_args(*QUIET).compile()
    return put_paths(command, input=path)


def _choose_offset(track: Track) -> int:
    # Coarse ticks (avi: one packet) would round the offset.
    return OFFSET_S if track.tick_s <= COARSEST_ROUNDING_S else 0


def _check_track(path: Path, track: Track) -> None:
    found = f"{show_name(path)}: track {track.index} ({track.codec})"
    if track.rate_hz not in RATES_HZ:
        raise LayoutUnsupported(
            f"{found} has rate_hz={track.rate_hz}; {RATES_HZ[0]} to {RATES_HZ[-1]} can be handled"
        )
    if not 1 <= track.num_channels <= MOST_CHANNELS:
        raise LayoutUnsupported(
            f"{found} has {track.num_channels} channels; 1 to {MOST_CHANNELS} can be handled"
        )


def _check_length(path: Path, track: Track, limits: Limits, seconds: float) -> None:
    if seconds > limits.max_duration_s:
        raise MediaTooLarge(
            f"{show_name(path)}: track {track.index} is longer than"
            f" max_duration_s={limits.max_duration_s:g}"
        )


def _place(
    path: Path, track: Track, pieces: Iterator[tuple[str, bytes]], timeline: Timeline
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (silence before, samples (T, C)) as soon as samples and their times have arrived."""
    frame_bytes = SAMPLE_BYTES * track.num_channels
    pcm, times = bytearray(), bytearray()
    packets: deque[tuple[int, int]] = deque()
    for name, data in pieces:
        if name == "out":
            pcm += data
        else:
            times += data
            packets.extend(_read_times(path, track, times))
        ready = len(pcm) // frame_bytes
        taken = 0
        run: list[tuple[int, int, int]] = []  # silence, start, stop
        while packets and taken + packets[0][1] <= ready:
            timestamp, num_samples = packets.popleft()
            silence, drop = timeline.place(timestamp, num_samples)
            start, taken = taken + drop, taken + num_samples
            if run and not silence and not drop:
                run[-1] = (*run[-1][:2], taken)
            elif silence or start < taken:
                run.append((silence, start, taken))
        if taken:
            samples_TC = np.frombuffer(pcm[: taken * frame_bytes], "<f4")
            samples_TC = samples_TC.reshape(taken, track.num_channels)
            del pcm[: taken * frame_bytes]
            yield from ((silence, samples_TC[start:stop]) for silence, start, stop in run)


def _read_times(path: Path, track: Track, text: bytearray) -> Iterator[tuple[int, int]]:
    """Remove the whole lines from `text` and yield their (timestamp, number of samples)."""
    end = text.rfind(b"\n") + 1
    lines = bytes(text[:end]).splitlines()
    del text[:end]
    for line in lines:
        if line.startswith(b"#"):
            continue
        _, _, timestamp, num_samples, num_bytes, *_ = line.split(b",")
        if int(num_samples) * track.num_channels * SAMPLE_BYTES != int(num_bytes):
            channels = int(num_bytes) // SAMPLE_BYTES // max(1, int(num_samples))
            raise LayoutUnsupported(
                f"{show_name(path)}: track {track.index} has {track.num_channels} channels by its"
                f" header and decodes to {channels}"
            )
        yield int(timestamp), int(num_samples)


def _check_end(
    path: Path, media: Media, track: Track, limits: Limits, end_s: float, code: int, tail: str
) -> float:
    """Return the seconds missing at the end; an error if more is missing than is tolerated."""
    stated_s = find_end(path, media, track)
    if code >= 0 and stated_s is not None and not states_length(stated_s, end_s):
        raise MediaTruncated(
            f"{show_name(path)}: track {track.index} ends at {end_s:.3f} s of {stated_s:.3f} s"
            f" that its header states. {tail}".rstrip()
        )
    raise_for_exit(path, limits, code, tail)
    if end_s == 0 and tail:
        raise MediaUnreadable(f"{show_name(path)}: nothing can be decoded: {tail}")
    missing_s = 0.0 if stated_s is None else stated_s - end_s
    return missing_s if missing_s > LEAST_MISSING_S else 0.0


class _Blocks:
    """Gather samples into arrays (C, T) of one length."""

    def __init__(self, num_channels: int, block_samples: int) -> None:
        self._shape = (num_channels, block_samples)
        self._block_CT = np.zeros(self._shape, np.float32)
        self._filled = 0

    def add(self, silence: int, samples_TC: np.ndarray) -> Iterator[np.ndarray]:
        while silence or len(samples_TC):
            room = self._shape[1] - self._filled
            if silence:  # blocks begin as zeros
                count = min(silence, room)
                silence -= count
            else:
                count = min(len(samples_TC), room)
                self._block_CT[:, self._filled : self._filled + count] = samples_TC[:count].T
                samples_TC = samples_TC[count:]
            self._filled += count
            if self._filled == self._shape[1]:
                yield self._block_CT
                self._block_CT, self._filled = np.zeros(self._shape, np.float32), 0

    def rest(self) -> np.ndarray:
        return self._block_CT[:, : self._filled]
