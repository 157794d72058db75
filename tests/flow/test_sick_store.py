"""A store that is slow, cuts its answers, says 503 for long or lies about lengths: the run waits or
fails rows that may pass, and nothing wrong is recorded as ok."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from separator.storage import StorageSettings
from tests.helpers import proxy as sick
from tests.helpers.bucket_job import BucketJob
from tests.helpers.job import (
    end_in_one_line,
    end_job,
    read_manifest,
    wait_for_phase,
    wait_until,
)
from tests.helpers.many import EDITS, Tree, read_comparable
from tests.helpers.s3 import QUICK, make_bucket, set_credentials

NUM_ASSETS = 6


@dataclass(frozen=True)
class Case:
    """A job behind a proxy, and the tree that it leaves where the proxy does no harm."""

    job: BucketJob
    proxy: sick.Proxy
    wanted: Tree


@pytest.fixture(scope="module")
def shared_case(moto, tmp_path_factory) -> Iterator[Case]:
    with pytest.MonkeyPatch.context() as patch, sick.serve_proxy(moto) as proxy:
        set_credentials(patch)
        settings = StorageSettings(endpoint_url=moto, **QUICK)
        behind = replace(settings, endpoint_url=proxy.url)
        folder = tmp_path_factory.mktemp("sick")
        job = BucketJob(folder, make_bucket(settings, None), behind, tuple(EDITS))
        job.make_library(NUM_ASSETS)
        end_job(job.start(), 0)
        wanted = read_comparable(job.copy_output())
        assert len(wanted) == NUM_ASSETS * 7
        yield Case(job, proxy, wanted)


@pytest.fixture
def case(shared_case, credentials) -> Iterator[Case]:
    shared_case.job.clear_output()
    yield shared_case
    shared_case.proxy.choose = sick.choose_well


def wait_for_object(case: Case, process, pattern: str) -> None:
    storage, out_uri = case.job.bucket.storage, f"{case.job.out_uri}/"
    wait_until(lambda: list(storage.list(out_uri, [pattern])), process)


@pytest.mark.slow
def test_run_on_a_slow_store_that_cuts_answers_and_is_busy_now_and_then_changes_nothing(case):
    choices = (sick.BUSY, sick.CUT, sick.SLOW)
    case.proxy.choose = sick.choose_at_random(15, *choices)
    # Six answers in a row that bring nothing would be a failure: at a ninth of all that are busy
    # and another that are cut, one in 8,000.
    end_job(case.job.start("storage.attempts=20", "storage.backoff_s=0.02"), 0)
    case.proxy.choose = sick.choose_well
    case.job.check_same(case.wanted)


@pytest.mark.slow
def test_run_waits_while_a_store_is_busy(case):
    process = case.job.start("storage.attempts=1000", "storage.backoff_s=0.05")
    wait_for_object(case, process, "stems/**/*.flac")
    case.proxy.choose = sick.choose_busy
    time.sleep(10)
    case.proxy.choose = sick.choose_well
    end_job(process, 0)
    case.job.check_same(case.wanted)


@pytest.mark.slow
def test_run_on_a_store_that_stays_busy_ends_in_one_line_and_is_continued(case):
    process = case.job.start("storage.attempts=3", "storage.backoff_s=0.05")
    wait_for_object(case, process, "stems/**/record.json")
    case.proxy.choose = sick.choose_busy
    line = end_in_one_line(process, 1, "throttled: ")
    assert "too many requests" in line and line.endswith("the same command goes on")
    line = end_in_one_line(case.job.start("storage.attempts=2"), 1, "python -m jobs.separate: ")
    assert "too many requests" in line
    case.proxy.choose = sick.choose_well
    case.job.check_unfinished(case.wanted)
    end_job(case.job.start(), 0)
    case.job.check_same(case.wanted)


@pytest.mark.slow
def test_run_whose_input_cannot_be_listed_any_more_ends_in_one_line(case):
    """The driver has looked through the input; the worker that lists it again cannot."""
    process = case.job.start("storage.attempts=2", "storage.backoff_s=0.05")
    wait_for_phase(process, "starting Ray")
    case.proxy.choose = sick.choose_of("prefix=in", sick.BUSY)
    line = end_in_one_line(process, 1, "python -m jobs.separate: ")
    assert "too many requests" in line and f"{case.job.bucket.uri}/in" in line


@pytest.mark.slow
def test_asset_whose_length_the_store_lies_about_fails_alone_and_is_tried_again(case):
    case.proxy.choose = sick.choose_of("/in/0/0.wav", sick.SHORT)
    end_job(case.job.start(), 3)
    manifest = read_manifest(case.job.copy_output())
    failed = manifest[manifest.status != "ok"]
    assert {uri.rpartition("/")[2] for uri in failed.asset_uri} == {"0.wav"}
    assert set(failed.error_code) == {"storage_error"}
    assert failed.error_detail.str.contains("bytes instead of").all()
    case.proxy.choose = sick.choose_well
    end_job(case.job.start(), 0)
    case.job.check_same(case.wanted)
