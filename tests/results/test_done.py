"""Work items that are done, have failed for good, or are wanted again, by the manifest."""

from dataclasses import replace

import numpy as np
import pytest

from separator.results.done import find_done, is_known
from separator.results.latest import hash_ids
from separator.results.manifest import ManifestWriter, list_files
from tests.helpers.records import make_record
from tests.helpers.rows import ASSET

FINE, BROKEN, PASSING = (f"{i}" * 32 for i in "123")


def write(output, *records, run_id: str = "r") -> None:
    writer = ManifestWriter(*output, run_id, rows_per_file=2)
    for record in records:
        writer.add([record])
    writer.flush()


@pytest.fixture
def outcomes(output):
    write(
        output,
        make_record("x", request=FINE),
        make_record("y", request=BROKEN, code="no_audio"),
        make_record("z", request=PASSING, code="throttled"),
        make_record("x", track=1, request=FINE),
        make_record("y", track=1, request=BROKEN),
    )
    assert len(list_files(*output)) == 3
    return output


def test_an_asset_that_had_failed_and_is_another_file_is_wanted_again(outcomes):
    wanted = find_done(*outcomes, retry_failed=True, only_failed=True)
    for asset, etag, is_wanted in (("y", "new", True), ("x", "new", False), ("y", "e", False)):
        one = replace(ASSET, uri=asset, etag=etag, items=(replace(ASSET.items[0], id="9" * 32),))
        assert (wanted.select_pending(one) is not None) == is_wanted, (asset, etag)


def test_find_done_wants_every_track_done_and_retries_what_may_pass(outcomes):
    done = find_done(*outcomes, retry_failed=True)
    assert list(done.done) == list(hash_ids([FINE])) and not len(done.failed)
    done = find_done(*outcomes, retry_failed=False)
    assert list(done.done) == list(hash_ids([FINE, BROKEN]))
    assert list(done.failed) == list(hash_ids([BROKEN])) and done.wanted is None


def test_find_done_wants_items_with_one_failed_track_if_only_failed_ones_are(outcomes):
    done = find_done(*outcomes, retry_failed=True, only_failed=True)
    assert done.wanted is not None and list(done.wanted) == list(hash_ids([BROKEN, PASSING]))


def test_find_done_is_empty_before_the_first_run(output):
    done = find_done(*output, retry_failed=True)
    assert done.done.dtype == np.uint64 and not len(done.done) and done.last_commit_us == 0


def test_find_done_leaves_out_items_that_a_later_commit_replaced(output):
    """Settings A, then B: the stems of A are gone, before any compaction too."""
    write(output, make_record(request=FINE), run_id="a")
    write(output, make_record(request=BROKEN, hour=1), run_id="b")
    assert list(find_done(*output, retry_failed=False).done) == list(hash_ids([BROKEN]))


def test_find_done_asks_again_for_an_asset_that_could_not_be_looked_at_since(output):
    write(output, make_record(request=FINE))
    write(output, make_record(etag="", hour=1, request=BROKEN, code="object_missing"), run_id="s")
    assert list(find_done(*output, retry_failed=False).done) == list(hash_ids([BROKEN]))
    write(output, make_record(request=FINE, hour=2), run_id="t")  # it came back
    done = find_done(*output, retry_failed=False)
    assert list(done.done) == list(hash_ids([FINE])) and not len(done.failed)


def test_find_done_tells_the_newest_time(output):
    write(output, make_record("x", hour=3), make_record("y"))
    assert find_done(*output, retry_failed=False).last_commit_us == 1_767_236_400_000_000


def test_is_known_marks_the_hashes_that_are_among_those_known():
    known = np.array([2, 5, 2**64 - 1], np.uint64)
    hashes = np.array([0, 2, 3, 2**64 - 1], np.uint64)
    assert is_known(hashes, known).tolist() == [False, True, False, True]
    assert is_known(hashes, known[:0]).tolist() == [False] * 4


def test_find_done_makes_absent_stems_again_that_another_threshold_would_keep(output):
    absent = {"status": "absent", "presence_score": 0.3}
    write(output, make_record(request=FINE) | absent, make_record("y", request=BROKEN))
    for threshold, wanted in ((0.5, [FINE, BROKEN]), (0.3, [BROKEN]), (0.2, [BROKEN])):
        done = find_done(*output, retry_failed=False, threshold=threshold)
        assert list(done.done) == list(hash_ids(wanted))
