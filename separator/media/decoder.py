"""Keep the processes that probe and decode: each takes file after file until one harms it.

A process has the limits of `limits.py` and writes no file. It ends after a crash, a hang or too
much memory, if a caller stops reading before the answer, and after `files_each` files; the next
file gets a new process. At most IDLE_KEPT idle processes are kept for each memory limit; they end
with this process.
"""

import atexit
import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from separator.errors import (
    DecoderCrashed,
    MediaError,
    MediaTooLarge,
    RequestError,
    tell_install,
)
from separator.media.ffmpeg import Child, raise_for_exit
from separator.media.limits import SAFE_INPUT, Limits, name_input, show_name
from separator.media.messages import (
    ANSWER,
    FRAME,
    HEADER,
    NO_TIME,
    SAMPLES_HEAD,
    SENT_FORMATS,
)

# Python starts without environment and site-packages: arguments say where PyAV and we are.
PROGRAM = (
    "import sys; sys.path += sys.argv[1:]; from separator.media.decoder_process import main; main()"
)
MAX_ANSWER_BYTES = 16 << 20
MAX_MESSAGE_BYTES = 1 << 28
IDLE_KEPT = 2
# Full scale of a sample format, and its zero.
SCALES = {"u1": (128.0, 128), "i2": (2.0**15, 0), "i4": (2.0**31, 0)}

_idle: dict[tuple[int, int], list["Decoder"]] = {}


class Decoder:
    """One process, and the request that it works on."""

    def __init__(self, path: Path, limits: Limits) -> None:
        found = importlib.util.find_spec("av")
        if found is None or found.origin is None:
            raise RequestError(f"PyAV is not installed: {tell_install()}")
        folders = [str(Path(__file__).parents[2]), str(Path(found.origin).parents[1])]
        command = [sys.executable, "-I", "-S", "-c", PROGRAM, *folders]
        self.child = Child(command, path, replace(limits, max_file_bytes=0), feed=True)
        self.num_files = 0
        self.is_idle = True
        self.is_holding = False  # whether the file that it probed last is still open
        self._came = bytearray()

    def ask(self, path: Path, limits: Limits, request: dict[str, Any]) -> None:
        """Send a request about a file; `receive` yields the results."""
        self.num_files += request["do"] == "probe"
        self.is_idle, self.is_holding = False, request["do"] == "probe"
        self.child.begin(path, limits)
        about = {"path": str(Path(path).absolute()), "address": name_input(path)}
        about |= {"options": SAFE_INPUT, "timeout_s": limits.timeout_s}
        self.child.write(memoryview(json.dumps(request | about).encode() + b"\n"))

    def receive(self) -> Iterator[tuple[list[tuple[int | None, int]], np.ndarray]]:
        """Yield (time and length of each frame, their samples (C, T)); set `answer` at the end."""
        while True:
            kind, body = self._read_message()
            if kind == ANSWER:
                self.child.wait(is_patient=False)  # read what it wrote to stderr
                self.is_idle = True
                self.answer = json.loads(body)
                return
            try:
                yield unpack(body)
            except ValueError:
                raise DecoderCrashed(f"{show_name(self.child.path)}: broken message") from None

    @property
    def tail(self) -> str:
        """The messages about the file, in a line."""
        words = [self.child.tail, self.answer.get("error", "") or self.answer.get("end", "")]
        return " | ".join(word for word in words if word)

    def close(self) -> None:
        self.child.close()

    def _read_message(self) -> tuple[int, bytes]:
        self._gather(HEADER.size)
        kind, num_bytes = HEADER.unpack_from(self._came)
        most = MAX_ANSWER_BYTES if kind == ANSWER else MAX_MESSAGE_BYTES
        if num_bytes > most:
            raise MediaTooLarge(
                f"{show_name(self.child.path)}: its description, or a packet of it, takes"
                f" {num_bytes:,} bytes; at most {most:,} are read"
            )
        self._gather(HEADER.size + num_bytes)
        body = bytes(memoryview(self._came)[HEADER.size : HEADER.size + num_bytes])
        del self._came[: HEADER.size + num_bytes]
        return kind, body

    def _gather(self, num_bytes: int) -> None:
        while len(self._came) < num_bytes:
            if self.child.has_ended:
                code, tail = self.child.finish()
                raise_for_exit(self.child.path, self.child.limits, code, tail)
                raise DecoderCrashed(f"{show_name(self.child.path)}: the decoder left. {tail}")
            for data in self.child.wait():
                self._came += data


def unpack(body: bytes) -> tuple[list[tuple[int | None, int]], np.ndarray]:
    """Return (time or None, length) of each frame, and the samples (C, T) of all frames as float32;
    samples of more than 24 bits are rounded once."""
    name, num_channels, count = SAMPLES_HEAD.unpack_from(body)
    start = SAMPLES_HEAD.size + count * FRAME.size
    frames = list(FRAME.iter_unpack(memoryview(body)[SAMPLES_HEAD.size : start]))
    name = name.rstrip(b"\0").decode("ascii")
    kind = SENT_FORMATS.get(name)
    if kind is None:
        raise ValueError(name)
    samples = np.frombuffer(body, kind, offset=start)
    num_samples = sum(length for _, length in frames)
    if name.endswith("p"):
        samples_CT = samples.reshape(num_channels, num_samples)
    else:
        samples_CT = samples.reshape(num_samples, num_channels).T
    floats_CT = samples_CT.astype(np.float32, order="C", copy=False)
    if kind in SCALES:
        steps, zero = SCALES[kind]
        floats_CT = (floats_CT - zero if zero else floats_CT) * np.float32(1 / steps)
    return [(None if time == NO_TIME else time, length) for time, length in frames], floats_CT


@contextlib.contextmanager
def borrow_decoder(path: Path, limits: Limits) -> Iterator[Decoder]:
    """Take an idle process, or start one; it is kept if it is idle again at the end."""
    waiting = _idle.setdefault((os.getpid(), limits.memory_bytes), [])
    decoder = waiting.pop() if waiting else None
    if decoder is None or not decoder.child.is_running:  # killed for lack of memory, say
        if decoder is not None:
            decoder.close()
        decoder = Decoder(path, limits)
    try:
        yield decoder
    finally:
        if decoder.is_idle and decoder.num_files < limits.files_each and len(waiting) < IDLE_KEPT:
            waiting.append(decoder)
        else:
            decoder.close()


def close_probed_files(limits: Limits | None = None) -> None:
    """Close the files that idle processes have probed but not decoded: a deleted file takes up disk
    space until it is closed."""
    waiting = _idle.get((os.getpid(), (limits or Limits()).memory_bytes), [])
    for decoder in [each for each in waiting if each.is_holding]:
        try:
            decoder.ask(decoder.child.path, decoder.child.limits, {"do": "close"})
            for _ in decoder.receive():
                pass
        except MediaError:
            waiting.remove(decoder)
            decoder.close()


@atexit.register
def close_decoders() -> None:
    """End all idle processes."""
    for waiting in _idle.values():
        while waiting:
            waiting.pop().close()
