"""Ids of runs sort behind those of all runs before them."""

from datetime import UTC, datetime

from separator.run.run_id import RUN_ID, follow_runs, make_run_id


def test_an_id_stays_where_all_runs_are_older():
    run_id = make_run_id()
    runs = ["s3://b/out/runs/20251231-235959-ffffff.json", "s3://b/out/runs/zzz.json"]
    assert follow_runs(run_id, runs) == follow_runs(run_id, []) == run_id


def test_an_id_follows_a_run_of_a_clock_that_is_ahead():
    run_id = make_run_id(datetime(2026, 11, 30, 12, 5, tzinfo=UTC))
    runs = ["/out/runs/20261130-130000-ffffff.json", "/out/runs/20261130-110000-000000.json"]
    found = follow_runs(run_id, runs)
    assert found.startswith("20261130-130001-") and RUN_ID.fullmatch(found)


def test_an_id_follows_a_run_of_the_same_second():
    run_id = "20261130-120500-000000"
    assert follow_runs(run_id, ["20261130-120500-ffffff.json"]).startswith("20261130-120501-")


def test_an_id_ignores_files_whose_names_only_look_like_ids():
    run_id = "20261130-120500-000000"
    runs = ["99999999-999999-abcdef.json", "99991231-235959-abcdef.json", "20261399-000000-aaaaaa"]
    runs += ["08000101-000000-abcdef.json"]
    assert follow_runs(run_id, runs) == run_id
