"""Define the messages from a decoder's process: a HEADER, then an answer in JSON or samples.

Both sides import this module, so it uses the standard library only.
"""

import os
import struct
from typing import Any

HEADER = struct.Struct("<BQ")  # kind, number of bytes
ANSWER, SAMPLES = 1, 2  # kinds: the last message of each request, and the messages before it
SAMPLES_HEAD = struct.Struct("<8sII")  # sample format, channels, number of frames
FRAME = struct.Struct("<qi")  # time in samples, number of samples
NO_TIME = -(2**63)
BATCH_BYTES = 1 << 18
# numpy's names of the formats that travel as they are; libswresample converts others.
SENT_FORMATS = {
    "u8": "u1", "u8p": "u1", "s16": "i2", "s16p": "i2", "s32": "i4", "s32p": "i4",
    "flt": "f4", "fltp": "f4", "dbl": "f8", "dblp": "f8",
}  # fmt: skip
MAX_PLANES = 7  # PyAV looks one plane too far for the end of a frame's planes
# libav's own order of channels. PyAV 18 frees the channel list of a layout in any other order
# twice, with the frame and with the layout: such layouts are kept until the process ends.
ORDER = [
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR",
    "TBL", "TBC", "TBR", "DL", "DR", "WL", "WR", "SDL", "SDR", "LFE2", "TSL", "TSR", "BFC", "BFL",
    "BFR", "SSL", "SSR", "TTL", "TTR", "BIL", "BIR",
]  # fmt: skip
_kept: list[Any] = []


def is_custom(layout: str) -> bool:
    """Tell whether a layout, as libav names it, has its channels in another order than libav's own.

    >>> is_custom("5.1(side)"), is_custom("2 channels (FC+LFE)"), is_custom("2 channels (FR+FL)")
    (False, False, True)
    """
    names = layout.partition(" channels (")[2].rstrip(")") or layout
    names = names.split("+")
    if len(names) == 1:
        return False
    places = [ORDER.index(name) if name in ORDER else -1 for name in names]
    return -1 in places or places != sorted(set(places))


def keep(layout: Any) -> None:
    if is_custom(layout.name):
        _kept.append(layout)


def send(kind: int, *parts: bytes | memoryview) -> None:
    """Write a message to stdout."""
    data = memoryview(b"".join([HEADER.pack(kind, sum(len(part) for part in parts)), *parts]))
    while data:
        data = data[os.write(1, data) :]


class Sender:
    """Gathers frames of one format into messages, and converts those that differ from the first.

    `counted`: libav counts times with the first rate; frames of another rate are sent without one.
    """

    def __init__(
        self, av: Any, rate_hz: int, num_channels: int, resampling: dict, counted: bool
    ) -> None:
        self._av, self._rate_hz, self._num_channels = av, rate_hz, num_channels
        self._resampling = resampling
        self._counted = counted
        self._layout: Any = None  # of the first frame
        self._first_rate_hz = 0
        self._has_time = True
        self._resampler: Any = None
        self._resampled: Any = None  # the format that the resampler converts
        self._format = ""
        self._frames: list[tuple[Any, int]] = []
        self._num_bytes = 0

    def add(self, frame: Any) -> bool:
        """Take a frame; False if the first one does not have the channels that were stated."""
        layout, form = frame.layout, frame.format
        keep(layout)
        if self._layout is None:
            if layout.nb_channels != self._num_channels:
                return False
            self._layout, self._first_rate_hz = layout, frame.sample_rate
        name, rate_hz = form.name, frame.sample_rate
        fits = name in SENT_FORMATS and not (form.is_planar and layout.nb_channels > MAX_PLANES)
        fits = fits and rate_hz == self._rate_hz and layout.nb_channels == self._num_channels
        resampled = None if fits else (name, layout.name, rate_hz)
        if resampled != self._resampled:
            self._change(resampled)
        self._has_time = rate_hz == self._first_rate_hz or not self._counted
        if self._resampler is None:
            self._put(frame, name)
            return True
        for converted in self._resampler.resample(frame):
            self._put(converted, "flt")
        return True

    def finish(self) -> None:
        self._change(None)
        self._flush()

    def _change(self, resampled: Any) -> None:
        """Flush the resampler, and start one for another format, or none."""
        if self._resampler is not None:
            for converted in self._resampler.resample(None):
                self._put(converted, "flt")
        self._resampled, self._resampler = resampled, None
        if resampled is not None:
            self._resampler = self._av.AudioResampler(
                "flt", self._layout, self._rate_hz, options=self._resampling
            )
            if is_custom(self._layout.name):
                _kept.append(self._resampler)

    def _put(self, frame: Any, name: str) -> None:
        if not frame.samples:
            return
        if name != self._format or self._num_bytes >= BATCH_BYTES:
            self._flush()
            self._format = name
        self._frames.append((frame, self._find_time(frame)))
        self._num_bytes += frame.samples * self._num_channels * int(SENT_FORMATS[name][1])

    def _flush(self) -> None:
        """Send the frames: format and times, then each plane of all of them."""
        frames, name = self._frames, self._format
        self._frames, self._num_bytes = [], 0
        if not frames:
            return
        head = [SAMPLES_HEAD.pack(name.encode(), self._num_channels, len(frames))]
        head += [FRAME.pack(time, frame.samples) for frame, time in frames]
        is_planar = name.endswith("p")
        width = int(SENT_FORMATS[name][1]) * (1 if is_planar else self._num_channels)
        planes = [
            [memoryview(plane)[: frame.samples * width] for plane in frame.planes]
            for frame, _ in frames
        ]
        order = range(self._num_channels if is_planar else 1)
        send(SAMPLES, *head, *(each[number] for number in order for each in planes))

    def _find_time(self, frame: Any) -> int:
        base = frame.time_base
        if frame.pts is None or not base or not self._has_time:
            return NO_TIME
        above = 2 * frame.pts * base.numerator * self._rate_hz + base.denominator
        return above // (2 * base.denominator)
