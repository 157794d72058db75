"""Runs and shards that start at the same moment on Ceph's gateway."""

import pytest

from tests.helpers.bucket_job import BucketJob
from tests.helpers.job import check_whole, end_job, wait_until
from tests.helpers.locks import read_lock

NUM_ASSETS, NUM_SHARDS = 12, 4


def wait_for_a_holder(job: BucketJob) -> None:
    storage, lock_uri = job.bucket.storage, f"{job.out_uri}/lock.json"
    wait_until(lambda: storage.exists(lock_uri) and read_lock((storage, job.out_uri)))


@pytest.mark.slow
def test_of_two_runs_at_once_one_refuses_and_four_shards_finish_side_by_side(rgw_bucket, tmp_path):
    job = BucketJob(tmp_path, rgw_bucket, rgw_bucket.settings)
    job.make_library(NUM_ASSETS)
    runs = [job.start() for _ in range(2)]
    said = [run.communicate(timeout=1_500)[1] for run in runs]
    codes = [run.returncode for run in runs]
    assert sorted(codes) == [0, 2], said
    assert "is at work on all of it; wait for its end" in said[codes.index(2)]
    whole = check_whole(job.copy_output(), job.out_uri)
    assert len(whole) == 2 * NUM_ASSETS and (whole.status == "ok").all()

    job.clear_output()
    shards = [job.start(f"run.shard={i}/{NUM_SHARDS}") for i in range(1, NUM_SHARDS + 1)]
    wait_for_a_holder(job)
    _, refused = end_job(job.start(), 2)
    assert "is at work on shard" in refused
    for shard in shards:
        end_job(shard, 0)
    parts = check_whole(job.copy_output(), job.out_uri)
    assert sorted(parts.request) == sorted(whole.request)
    assert 1 < len(set(parts.run_id)) <= NUM_SHARDS
