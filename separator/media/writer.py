"""Encode samples with libav into a file, in this process.

Shapes: C channels, T samples.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from separator.audio.format import AudioFormat
from separator.errors import EncoderFailed
from separator.media.encode_settings import EncodeSettings, Tags
from separator.media.formats import FORMATS, choose_layout, choose_rate
from separator.media.limits import clean_tag, show_name
from separator.media.messages import is_custom
from separator.media.unwritten import describe_full

BUFFER_BYTES = 1 << 18
BITEXACT_FILE, BITEXACT_CODEC = 0x0400, 1 << 23  # no versions, dates or random ids
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
PIECE_SAMPLES = 1 << 14  # PyAV counts the bytes of a frame in 31 bits
SAMPLE_FORMATS = {"i2": "s16", "i4": "s32", "f4": "flt"}


class Writer:
    """Encodes one track into a file, block by block; `with` opens and closes it."""

    def __init__(
        self,
        path: Path,
        audio_format: AudioFormat,
        settings: EncodeSettings,
        tags: Tags,
        max_bytes: int,
    ) -> None:
        self._path, self._settings, self._tags, self._max_bytes = path, settings, tags, max_bytes
        self._rate_hz, self._num_channels = audio_format.rate_hz, audio_format.num_channels
        known = choose_layout(FORMATS[settings.format], self._num_channels, audio_format.layout)
        if known is None or is_custom(known):
            known = f"{self._num_channels}C"
        self._layout = known
        self._file: Any = None
        self._container: Any = None
        self._stream: Any = None
        self._time = self._num_packets = 0

    def __enter__(self) -> "Writer":
        with explain(self._path):
            self._file = self._path.open("wb", buffering=BUFFER_BYTES)
            self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # after a failure; otherwise `finish` has closed it
            self._file.close()

    def add(self, samples_TC: np.ndarray) -> None:
        """Encode samples: int16, int32 (24 bits, in the upper bytes) or float32."""
        import av

        name = SAMPLE_FORMATS[samples_TC.dtype.str[1:]]
        with explain(self._path):
            for at in range(0, len(samples_TC), PIECE_SAMPLES):
                piece_TC = np.ascontiguousarray(samples_TC[at : at + PIECE_SAMPLES])
                frame = av.AudioFrame(name, self._layout, len(piece_TC))
                frame.planes[0].update(piece_TC.tobytes())
                frame.sample_rate = self._rate_hz
                frame.pts, self._time = self._time, self._time + len(piece_TC)
                self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Flush the encoder, complete the format's header and trailer, and close the file."""
        with explain(self._path):
            self._container.start_encoding()
            self._mux(self._stream.encode(None))
            self._container.close()
            self._file.close()
        if self._time and not self._num_packets:  # the resampler made no sample of so few
            raise EncoderFailed(
                f"{show_name(self._path)}: {self._settings.format} cannot hold {self._time} samples"
                f" at {self._rate_hz} Hz; flac and wav hold any number"
            )

    def _mux(self, packets: Any) -> None:
        self._num_packets += len(packets)
        self._container.mux(packets)

    def _begin(self) -> None:
        import av

        settings = self._settings
        form = FORMATS[settings.format]
        rate_hz = self._rate_hz if form.bit_depths else choose_rate(form, self._rate_hz)
        options = {key: str(value) for key, value in form.options.items()}
        if form.muxer == "ipod":
            options["movie_timescale"] = str(rate_hz)  # else the edit list counts in milliseconds
        file: Any = Limited(self._file, self._max_bytes)
        container = self._container = av.open(
            file, "w", format=form.muxer, container_options=options, buffer_size=BUFFER_BYTES
        )
        container.flags |= BITEXACT_FILE
        tags = self._tags
        pairs = (("title", tags.title), ("comment", tags.source), ("copyright", tags.license))
        container.metadata.update({key: clean_tag(value) for key, value in pairs if value})
        codec = form.codecs[settings.bit_depth if form.bit_depths else 0]
        self._stream = container.add_stream(codec, rate=rate_hz)
        context: Any = self._stream.codec_context
        context.layout = self._layout
        context.flags |= BITEXACT_CODEC
        context.thread_count = 1
        if settings.integer_bits is not None:
            context.format = "s16" if settings.integer_bits == 16 else "s32"
        if not form.bit_depths and settings.bitrate_bps:
            context.bit_rate = settings.bitrate_bps


@contextlib.contextmanager
def explain(path: Path) -> Iterator[None]:
    """Turn a failure to write a file into an error that names the file."""
    from av.error import FFmpegError

    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise describe_full(path) from None
        raise EncoderFailed(f"{show_name(path)}: {error.strerror or error}") from None
    except FFmpegError as error:
        raise EncoderFailed(f"{show_name(path)}: {error.strerror or error}") from None


class Limited:
    """A file that does not grow beyond a limit."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self._file, self._max_bytes = file, max_bytes
        self.seek, self.tell = file.seek, file.tell

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._max_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return self._file.write(data)

    @property
    def closed(self) -> bool:
        return self._file.closed
