"""Trouble that ends a run, and failures that do not."""

from dataclasses import replace

import pytest

from separator.errors import DiskFull, Throttled, TokenExpired
from separator.run.trouble import MAX_IN_A_ROW, TroubleCount
from tests.helpers.rows import ASSET, make_failure, make_file


@pytest.mark.parametrize(
    ("code", "kind"), [("disk_full", DiskFull), ("token_expired", TokenExpired)]
)
def test_a_result_that_cannot_be_written_ends_the_run(code, kind):
    with pytest.raises(kind):
        TroubleCount().add(make_failure(0, code, stage="publish"))


def test_many_assets_in_a_row_that_cannot_be_read_end_the_run():
    count = TroubleCount()
    failures = [
        replace(make_failure(-1, "throttled"), asset=replace(ASSET, uri=f"/{i}.mp4"))
        for i in range(MAX_IN_A_ROW)
    ]
    for failure in failures[1:]:
        count.add(failure)
    count.add(make_file(0, "a"))
    for failure in failures[1:]:
        count.add(failure)
    with pytest.raises(Throttled, match=f"the last {MAX_IN_A_ROW} assets failed alike"):
        count.add(failures[0])


def test_many_stems_of_one_asset_that_cannot_be_written_are_one_failure():
    count = TroubleCount()
    for number in range(2 * MAX_IN_A_ROW):
        count.add(make_failure(0, "throttled", stage="publish", name=f"q{number}"))


@pytest.mark.parametrize("code", ["access_denied", "no_audio", "object_changed", "storage_error"])
def test_failures_of_single_assets_end_nothing(code):
    count = TroubleCount()
    for _ in range(10 * MAX_IN_A_ROW):
        count.add(make_failure(-1, code, stage="publish"))
