"""Evaluate the user's SQL expressions in DuckDB, bounded in time and memory.

DuckDB's own memory limit does not count what single functions allocate (`repeat`, `range`), so the
address space of the process is bounded too while an expression runs. That works only on Linux.
"""

import contextlib
import difflib
import re
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from separator.errors import RequestError

UNKNOWN_COLUMN = re.compile(r'Referenced column "(.*)" (?:was )?not found')  # of DuckDB
COLUMNS_AT = "separator/results/schema.py"
STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Expressions:
    """A connection, and the limits of each expression that is evaluated in it."""

    connection: duckdb.DuckDBPyConnection
    time_s: float
    memory_bytes: float
    columns: Sequence[str] = ()  # that an expression may use

    def evaluate(self, key: str, text: str, action: Callable[[duckdb.Expression], Any]) -> None:
        """Parse `text` as one expression and call `action` with it; an error names the key."""
        try:
            expression = duckdb.SQLExpression(text)
            with bounded_time(self.connection, self.time_s), bounded_memory(2 * self.memory_bytes):
                action(expression)
        except duckdb.InterruptException:
            raise RequestError(
                f"{key}={text!r}: took longer than {self.time_s:g} s; make it simpler, or raise"
                " input.expression_time_s"
            ) from None
        except (duckdb.OutOfMemoryException, MemoryError):
            raise RequestError(
                f"{key}={text!r}: needs more than {self.memory_bytes / 1e6:,.0f} MB of memory; make"
                " it simpler, or raise input.expression_memory_mb"
            ) from None
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise RequestError(f"{key}={text!r}: {reason}{self._help_with(reason)}") from None

    def _help_with(self, reason: str) -> str:
        """Suggest similar columns for a name that is no column."""
        if not (found := UNKNOWN_COLUMN.search(reason)):
            return ""
        near = difflib.get_close_matches(found[1].lower(), self.columns)
        like = f"columns like it: {', '.join(near)}; " if near else ""
        quotes = f"a text stands in single quotes, as {found[1]!r}"
        return f" {like}{COLUMNS_AT} lists all columns; {quotes}"


@contextlib.contextmanager
def bounded_time(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt the running query when the time is over."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def bounded_memory(num_bytes: float) -> Iterator[None]:
    """Let the address space of this process grow by so many bytes and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        pages = int(STATM.read_text().split()[0])
    except OSError:  # not Linux
        yield
        return
    wanted = pages * resource.getpagesize() + int(num_bytes)
    others = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *others]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
