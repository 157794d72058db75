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


@pytest.mark.parametrize(
    ("given", "told", "not_told"),
    [
        ("input.where=qery_name = 'siren'", "columns like it: query_name", "siren;"),
        ("input.where=verdikt = 'accept'", "columns like it: verdict", "query_name"),
        ("split.by=asset_url", "columns like it: asset_uri", "cut_start_s"),
        ("input.where=query_name == siren", "a text stands in single quotes, as 'siren'", "like"),
        ('input.where=query_name = "siren"', "a text stands in single quotes, as 'siren'", "like"),
    ],
)
def test_expression_with_an_unknown_column_says_which_there_are(tmp_path, given, told, not_told):
    with pytest.raises(RequestError, match=r"Binder Error: .* not found") as caught:
        count(tmp_path, given)
    message = str(caught.value)
    assert told in message and not_told not in message and "\n" not in message
    assert "separator/results/schema.py lists all columns" in message


def test_expression_with_another_mistake_says_nothing_of_columns(tmp_path):
    with pytest.raises(RequestError, match=r"input\.where=") as caught:
        count(tmp_path, "input.where=no_such_function(1) > 0")
    assert "lists all columns" not in str(caught.value)


def test_limits_of_expressions_leave_ordinary_ones_alone(tmp_path):
    given = ["input.expression_memory_mb=100", "input.expression_time_s=100"]
    assert count(tmp_path, "input.where=energy_share >= 0", *given) == 4
