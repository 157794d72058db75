"""Expressions of the user: bounded in time and memory, also where DuckDB's own limit is not."""

import resource

import pytest

from separator.errors import RequestError
from separator.export.select import select
from separator.storage import Storage
from tests.helpers.export_library import make_config, make_records, write_manifest

NEVER_ENDS = (
    "(select count(*) from range(10000000) a, range(1000000) b"
    " where a.range + b.range % 3 = a.range) > 0"
)
# One value of 16 GB, which DuckDB's memory limit does not count.
HUGE = "len(range(2000000000))"


def count(tmp_path, *overrides: str) -> int:
    output = tmp_path / "out"
    write_manifest(Storage(), str(output), make_records(str(output), 2))
    with select(Storage(), make_config(output, *overrides)) as selection:
        return selection.num_stems


def test_expression_that_never_ends_is_stopped(tmp_path):
    with pytest.raises(RequestError, match=r"input\.where=.*longer than 0\.2 s; .*_time_s"):
        count(tmp_path, f"input.where={NEVER_ENDS}", "input.expression_time_s=0.2")


@pytest.mark.parametrize("given", [f"input.where={HUGE} > 1", f"split.by={HUGE}"])
def test_expression_that_needs_too_much_memory_is_refused(tmp_path, given):
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(RequestError, match=r"more than 200 MB of memory; .*expression_memory_mb"):
        count(tmp_path, given, "input.expression_memory_mb=200")
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_limits_of_expressions_leave_ordinary_ones_alone(tmp_path):
    given = ["input.expression_memory_mb=100", "input.expression_time_s=100"]
    assert count(tmp_path, "input.where=energy_share >= 0", *given) == 4
