"""Expressions of the user: bounded in time and memory, also where DuckDB's own limit is not."""

import resource
from collections.abc import Iterator

import duckdb
import pytest

from separator.errors import RequestError
from separator.export.expressions import Expressions

NEVER_ENDS = "(select count(*) from range(1000000) a, range(10000000) b where a.range % 7 = 9) > 0"
# One value of 16 GB, which DuckDB's memory limit does not count.
HUGE = "len(range(2000000000)) > 1"


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '200MB'")
        connection.sql("select 1 as a").create("stems")
        yield connection


def evaluate(connection: duckdb.DuckDBPyConnection, text: str, time_s: float) -> None:
    def create(chosen: duckdb.Expression) -> None:
        connection.table("stems").filter(chosen).create("found")

    Expressions(connection, time_s, 200e6).evaluate("input.where", text, create)


def test_expression_that_never_ends_is_stopped_and_the_connection_lives_on(connection):
    with pytest.raises(RequestError, match=r"input\.where=.*longer than 0\.2 s; .*_time_s"):
        evaluate(connection, NEVER_ENDS, 0.2)
    evaluate(connection, "a = 1", 600)
    assert connection.table("found").fetchall() == [(1,)]


def test_expression_that_needs_too_much_memory_is_refused(connection):
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(RequestError, match=r"more than 200 MB of memory; .*expression_memory_mb"):
        evaluate(connection, HUGE, 600)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    evaluate(connection, "a = 1", 600)
    assert connection.table("found").fetchall() == [(1,)]
