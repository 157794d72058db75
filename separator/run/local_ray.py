"""Start Ray or join a cluster, without Ray's own chatter on the console.

Warnings of `ray.data` are not chatter: they stay.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import ray.exceptions

from separator.errors import ClusterUnreachable
from separator.run.process import list_children

MAX_STARTS = 3
KNOCK_S = 10.0
CONSOLE_HANDLER = "PlainRayHandler"  # writes to stderr
# ValueError: of an address without a port.
START_ERRORS = (OSError, RuntimeError, ValueError, ray.exceptions.RayError)


def join_ray(num_cpus: int | None = None, log_to_driver: bool = False) -> None:
    """Use the Ray that this process has, the cluster of RAY_ADDRESS, or one of this machine.

    `num_cpus` is for a Ray of this machine; `log_to_driver` shows what workers print.
    Raise ClusterUnreachable if Ray does not start after some tries.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's C++ core reports an error for every actor pool of Ray Data.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    # Ray gives its workers the niceness 15: beside other busy programs they would hardly run.
    os.environ.setdefault("RAY_worker_niceness", "0")
    address = os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"num_cpus": num_cpus} if address == "local" else {}
    for attempt in range(1, MAX_STARTS + 1):
        before = list_children()
        try:
            _knock(address)
            with _silent_stderr(), _kept_handlers():
                ray.init(
                    address,
                    include_dashboard=False,  # it would take a sixth of a small run's time
                    log_to_driver=log_to_driver,
                    logging_level=logging.ERROR,
                    **options,
                )
            break
        except BaseException as error:
            # Ray raises a bare Exception, without a class of its own, if a node starts too slowly.
            if not isinstance(error, START_ERRORS) and type(error) is not Exception:
                raise
            ray.shutdown()
            # A Ray that was too slow has started half of its processes: they would slow down the
            # next attempt, until this process ends.
            for pid in list_children() - before:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if attempt == MAX_STARTS:
                raise ClusterUnreachable(_describe(address, error)) from None
    quiet_loggers()


def _knock(address: str) -> None:
    """Raise at once if nobody listens at the address: Ray itself would wait for minutes."""
    host, found, port = address.removeprefix("ray://").rpartition(":")
    if found and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), KNOCK_S):
            pass


def quiet_loggers() -> None:
    """Mute what Ray Data reports of every execution; import ray.data first, as that resets it. If
    the program has handlers of its own, such as those for JSON, what is left goes to them."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # This logger warns that progress bars are disabled, which is intended.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    if not logging.getLogger().handlers:
        return
    for logger in map(logging.getLogger, ("ray", "ray.data")):
        logger.propagate = True
        for handler in list(logger.handlers):
            if type(handler).__name__ == CONSOLE_HANDLER:
                logger.removeHandler(handler)


def _describe(address: str, error: BaseException) -> str:
    reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
    if address == "local":
        folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
        return f"Ray does not start on this machine: {reason[0]}; see the logs in {folder}/ray"
    if address.startswith(("http://", "https://")):
        reason = ["this is the address of jobs (RAY_API_SERVER_ADDRESS); give host:port"]
    return f"RAY_ADDRESS={address!r}: no cluster can be reached there: {reason[0]}"


@contextmanager
def _kept_handlers() -> Iterator[None]:
    """Keep the handlers of signals: Ray's own end a process with its stack on the console."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard what native code writes to stderr: Ray's core announces its log level there."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as sink:
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
