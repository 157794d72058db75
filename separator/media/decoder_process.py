"""Probe and decode files one after the other through libav: the program of a decoder's process.

`decoder.py` starts it, with the standard library and PyAV alone, and limits it. Requests come as
lines of JSON on stdin; answers go to stdout (`messages.py`), libav's own messages to stderr.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from separator.media.messages import ANSWER, Sender, is_custom, keep, send

DISCARD_ALL = 48  # AVDISCARD_ALL
JUMPING = 0x0200  # AVFMT_TS_DISCONT: times of this format may jump
NO_MEMORY = "Cannot allocate memory"


def main() -> None:
    """Answer requests until stdin ends."""
    import av
    import av.error
    import av.logging

    av.logging.restore_default_callback()  # libav's own, which writes to stderr
    av.logging.set_libav_level(av.logging.ERROR)
    server = Server(av)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_time(request["timeout_s"])
        try:
            answer = server.answer(request)
        except MemoryError:
            answer = {"error": NO_MEMORY}
        except av.error.FFmpegError as error:
            answer = {"error": error.strerror or str(error)}
        send(ANSWER, json.dumps(answer).encode())
    os._exit(0)  # without clean-up, which would free the kept layouts (`messages.py`)


def _limit_time(seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    limit = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most < 0 else min(limit, most), most))


class Server:
    """Answers requests; the file that was probed last stays open, as it is mostly decoded next."""

    def __init__(self, av: Any) -> None:
        self.av = av
        self._held: tuple[Any, Any] = (None, None)  # the identity of a file, and the open file

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a request asks for."""
        if request["do"] == "close":
            self._close()
            return {}
        return self.probe(request) if request["do"] == "probe" else self.decode(request)

    def probe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Describe a file in the words of ffprobe."""
        self._close()
        container = self._open(request)
        self._held = identify(request["path"]), container
        return describe(container)

    def decode(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send all frames of a stream; answer how many there were and how many packets failed."""
        decoding = Decoding(self.av, request)
        if request["links"]:
            with Path(request["path"]).open("rb") as file:
                for link in request["links"]:
                    decoding.add(self._open(request, FileStretch(file, *link)))
            return decoding.finish()
        identity, container = self._held
        self._held = None, None
        if container is None or identity != identify(request["path"]):
            container = self._open(request)
        decoding.add(container)
        return decoding.finish()

    def _open(self, request: dict[str, Any], file: "FileStretch | None" = None) -> Any:
        return self.av.open(
            file or request["address"],
            container_options={**request["options"], "scan_all_pmts": "1"},
            metadata_errors="replace",
        )

    def _close(self) -> None:
        if self._held[1] is not None:
            self._held[1].close()
        self._held = None, None


def identify(path: str) -> Any:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def describe(container: Any) -> dict[str, Any]:
    """Describe a file in the words of ffprobe."""
    tick_s = 1e-6
    form = {"format_name": container.format.name}
    form["splices"] = bool(container.format.flags & JUMPING)
    form["tags"] = dict(container.metadata)
    for name in ("start_time", "duration"):
        value = getattr(container, name)
        form[name] = None if value is None else value * tick_s
    return {"format": form, "streams": [describe_stream(each) for each in container.streams]}


def describe_stream(stream: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "index": stream.index,
        "codec_type": stream.type,
        "tags": stream.metadata,
        "disposition": {
            flag.name: True for flag in stream.disposition.__class__ if flag & stream.disposition
        },
    }
    base = stream.time_base
    if base:
        found["time_base"] = f"{base.numerator}/{base.denominator}"
        for name in ("start_time", "duration"):
            value = getattr(stream, name)
            found[name] = None if value is None else float(value * base)
    context = stream.codec_context
    if context is None:  # libav has no decoder for it
        return found
    found["codec_name"] = context.codec.canonical_name
    if stream.type == "audio":
        found |= describe_sound(context)
    elif stream.type == "video":
        found |= {"width": context.width, "height": context.height}
        if rate := stream.average_rate:
            found["frame_rate"] = f"{rate.numerator}/{rate.denominator}"
    return found


def describe_sound(context: Any) -> dict[str, Any]:
    bits = 0
    name, form = context.codec.canonical_name, context.format
    digits = "".join(c for c in name if c.isdigit())
    if name.startswith("pcm_") and digits:
        bits = int(digits)
    elif context.codec.lossless and form is not None:
        bits = min(24, 8 * form.bytes)  # 24 bits come in 32
    layout = context.layout
    keep(layout)
    return {
        "sample_rate": context.sample_rate,
        "channels": layout.nb_channels,
        "channel_layout": "unknown" if is_custom(layout.name) else layout.name,
        "channel_names": [channel.name for channel in layout.channels],
        "bits_per_sample": bits,
    }


class FileStretch:
    """A stretch of an open file, as a file of its own."""

    def __init__(self, file: Any, start: int, stop: int) -> None:
        self._file, self._start, self._stop = file, start, stop
        self._place = start

    def read(self, count: int) -> bytes:
        self._file.seek(self._place)
        data = self._file.read(min(count, max(0, self._stop - self._place)))
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origins = {os.SEEK_SET: self._start, os.SEEK_CUR: self._place, os.SEEK_END: self._stop}
        self._place = max(self._start, origins[whence] + offset)
        return self.tell()

    def tell(self) -> int:
        return self._place - self._start


class Decoding:
    """Sends the frames of one stream of a file, or of several files one after the other."""

    def __init__(self, av: Any, request: dict[str, Any]) -> None:
        self._av, self._request = av, request
        self._sender = Sender(
            av, request["rate_hz"], request["channels"], request["resampling"], request["counted"]
        )
        # `channels`: their number if the header states another; `end`: why reading ended early.
        self._answer: dict[str, Any] = {"frames": 0, "errors": 0, "channels": 0, "end": ""}

    def add(self, container: Any) -> None:
        """Decode a file to its end, and close it."""
        try:
            if not self._answer["channels"]:
                self._decode(container)
        finally:
            container.close()

    def finish(self) -> dict[str, Any]:
        """Send the rest; answer how many frames there were and how many packets failed."""
        self._sender.finish()
        return self._answer

    def _decode(self, container: Any) -> None:
        number, answer = self._request["stream"], self._answer
        for stream in container.streams:
            if stream.index != number:
                stream.discard = DISCARD_ALL
        stream = container.streams[number] if number < len(container.streams) else None
        if stream is None or stream.type != "audio" or stream.codec_context is None:
            answer["error"] = f"stream {number} cannot be decoded as sound"
            return
        context = stream.codec_context
        context.thread_count = 1
        context.options = self._request["codec_options"]
        for packet in self._read_packets(container, stream):
            try:
                frames = context.decode(packet)
            except MemoryError:
                raise
            except self._av.error.FFmpegError as error:
                answer["errors"] += not isinstance(error, EOFError)
                continue
            answer["frames"] += len(frames)
            for frame in frames:
                if not self._sender.add(frame):
                    answer["channels"] = frame.layout.nb_channels
                    return

    def _read_packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield a stream's packets, then None, which flushes the decoder."""
        try:
            for packet in container.demux(stream):
                if packet.size:  # an empty one would end the decoding
                    yield packet
        except MemoryError:
            raise
        except self._av.error.FFmpegError as error:
            self._answer["end"] = error.strerror or str(error)
        yield None
