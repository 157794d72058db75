"""Run ffmpeg and ffprobe on local files within limits. No other module of media starts programs."""

import contextlib
import errno
import fcntl
import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from separator.errors import (
    DecoderCrashed,
    DecoderHung,
    MediaDamaged,
    MediaError,
    MediaTooLarge,
    MediaUnreadable,
    RequestError,
)
from separator.media.limits import Limits, name_input, show_name

QUIET = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "error")

READ_BYTES = 1 << 17
PIPE_BYTES = 1 << 20  # Linux's limit for unprivileged users
TAIL_BYTES = 8192
NO_MEMORY = "Cannot allocate memory"
TOO_MANY_ERRORS = 69  # ffmpeg's exit status when -max_error_rate is exceeded
F_SETPIPE_SZ = 1031  # Linux


class Child:
    """One running program; `with` kills and reaps it at the end."""

    def __init__(
        self,
        command: list[str],
        path: Path,
        limits: Limits,
        feed: bool = False,
        hung: type[MediaError] = DecoderHung,
    ) -> None:
        """Start the program; `path` is for messages, `feed` opens its stdin, `hung` is the error
        for no progress."""
        self.path, self.limits, self._hung = path, limits, hung
        self._waited_s = self._idle_s = 0.0
        self._tail = b""
        self._selector = selectors.DefaultSelector()
        self._names: dict[int, str] = {}
        self._process = _start(command, path, feed)
        _limit(self._process.pid, limits)
        assert self._process.stdout and self._process.stderr
        self._register(self._process.stdout.fileno(), "out")
        self._register(self._process.stderr.fileno(), "err")
        if self._process.stdin:
            os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, path: Path, limits: Limits) -> None:
        """Start on another file: reset the clocks, and forget what stderr said so far."""
        self.path, self.limits = path, limits
        self._waited_s = self._idle_s = 0.0
        self._tail = b""

    def read(self) -> Iterator[bytes]:
        """Yield the program's stdout as it comes, until the program has closed its pipes."""
        while not self.has_ended:
            yield from self.wait()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def has_ended(self) -> bool:
        """Whether the program has closed its pipes."""
        return not self._names

    def write(self, data: memoryview) -> bool:
        """Write `data` to the program's stdin; False if it is closed: `finish` has the reason."""
        stdin = self._process.stdin
        assert stdin
        self._selector.register(stdin.fileno(), selectors.EVENT_WRITE)
        try:
            while data:
                self.wait()  # ignores its stdout
                try:
                    data = data[os.write(stdin.fileno(), data) :]
                    self._idle_s = 0.0
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    return False
        finally:
            self._selector.unregister(stdin.fileno())
        return True

    def finish(self) -> tuple[int, str]:
        """Close stdin, wait for the program to end, and return (exit status, tail of stderr)."""
        if self._process.stdin:
            self._process.stdin.close()
        for _ in self.read():
            pass
        try:
            code = self._process.wait(timeout=self.limits.stall_s)
        except subprocess.TimeoutExpired:
            raise self._hang() from None
        return code, self.tail

    @property
    def tail(self) -> str:
        """The last lines of stderr on one line, without memory addresses and folders."""
        text = self._tail.decode(errors="replace")
        text = text.replace(name_input(self.path), Path(self.path).name)
        text = re.sub(r" @ 0x[0-9a-f]+", "", text)
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        joined = " | ".join(list(dict.fromkeys(lines))[-4:])
        return joined[-400:].encode("ascii", "backslashreplace").decode()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._selector.close()
        self._names.clear()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def _register(self, descriptor: int, name: str) -> None:
        os.set_blocking(descriptor, False)
        if name == "out":
            with contextlib.suppress(OSError):  # a smaller pipe is only slower
                fcntl.fcntl(descriptor, F_SETPIPE_SZ, PIPE_BYTES)
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._names[descriptor] = name

    def wait(self, is_patient: bool = True) -> list[bytes]:
        """Wait for a pipe, or only read what is there already; return the bytes from stdout."""
        left_s = min(self.limits.timeout_s - self._waited_s, self.limits.stall_s - self._idle_s)
        if left_s <= 0:
            raise self._hang()
        started_s = time.monotonic()
        events = self._selector.select(left_s if is_patient else 0)
        took_s = time.monotonic() - started_s
        self._waited_s += took_s
        self._idle_s += took_s
        came = []
        for key, _ in events:
            name = self._names.get(key.fd)
            if name is None:
                continue
            data = os.read(key.fd, READ_BYTES)
            if not data:
                self._selector.unregister(key.fd)
                del self._names[key.fd]
            elif name == "err":
                self._tail = (self._tail + data)[-TAIL_BYTES:]
            else:
                self._idle_s = 0.0
                came.append(data)
        return came

    def _hang(self) -> MediaError:
        self._process.kill()
        limits = self.limits
        if NO_MEMORY in self.tail:  # a program that ran out of memory may retry forever
            return _describe_memory(self.path, limits, self.tail)
        if self._waited_s >= limits.timeout_s:
            what = f"not done after {limits.timeout_s:g} s"
        else:
            what = f"no progress for {limits.stall_s:g} s"
        return self._hung(f"{show_name(self.path)}: {what}; killed. {self.tail}".rstrip())


def has_encoder(codec: str) -> bool:
    """Tell whether ffmpeg can encode by this name."""
    command = ["ffmpeg", "-v", "error", "-h", f"encoder={codec}"]
    about = subprocess.run(command, capture_output=True, text=True, check=False)
    return about.stdout.startswith("Encoder ")


def run(command: list[str], path: Path, limits: Limits, max_bytes: int) -> bytes:
    """Return everything a program writes to stdout; raise a typed error if it fails."""
    output = bytearray()
    with Child(command, path, limits) as child:
        for data in child.read():
            output += data
            if len(output) > max_bytes:
                raise MediaTooLarge(
                    f"{show_name(path)}: {command[0]} writes more than {max_bytes:,} bytes about it"
                )
        raise_for_exit(path, limits, *child.finish())
    return bytes(output)


def raise_for_exit(path: Path, limits: Limits, code: int, tail: str) -> None:
    """Raise the error for the exit status of a program that read `path`."""
    name = show_name(path)
    if code == 0:
        return
    refused = re.search(r"\[(\w+)[^]]*\] Format not on whitelist", tail)
    if refused:
        raise MediaUnreadable(
            f"{name}: is {refused[1]}, which is not opened: playlists, scripts and image series may"
            " open other files; convert it to a format that holds its own media"
        )
    if NO_MEMORY in tail:
        raise _describe_memory(path, limits, tail)
    if code < 0:
        raise DecoderCrashed(f"{name}: ffmpeg died of {_name_signal(-code)}. {tail}".rstrip())
    if code == TOO_MANY_ERRORS:
        raise MediaDamaged(
            f"{name}: more than max_error_share={limits.max_error_share:g} of its packets cannot"
            f" be decoded: {tail}"
        )
    raise MediaUnreadable(f"{name}: {tail or f'ffmpeg exited with {code}'}")


def _describe_memory(path: Path, limits: Limits, tail: str) -> MediaTooLarge:
    return MediaTooLarge(
        f"{show_name(path)}: needs more than memory_bytes={limits.memory_bytes:,}: {tail}"
    )


def _start(command: list[str], path: Path, feed: bool) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [_find(command[0]), *command[1:]],
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_make_environment(),
            bufsize=0,
        )
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        raise MediaTooLarge(
            f"{show_name(path)}: has too many streams, or too long tags, for a command of"
            f" {command[0]}"
        ) from None


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise RequestError(f"{program} is not installed: install ffmpeg 5 or newer")
    return found


def _make_environment() -> dict[str, str]:
    # A program that decodes untrusted files gets no credentials, no FFREPORT and no locale.
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _limit(pid: int, limits: Limits) -> None:
    # Set from outside, as a preexec_fn is not safe with threads. Until the limits take effect, the
    # program only loads libraries.
    if not hasattr(resource, "prlimit"):
        return  # not Linux: no memory limit
    for what, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.max_file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            _, hard = resource.prlimit(pid, what)
            lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, what, (lowest, lowest))
        except ProcessLookupError:
            return  # already gone


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
