"""The manifest: work items that are done, and work items that have failed."""

import numpy as np

from separator.results.manifest import (
    ManifestWriter,
    find_done,
    find_failed,
    hash_requests,
    is_known,
    list_files,
)
from tests.helpers.records import make_record

FINE, BROKEN, PASSING = (f"{i}" * 32 for i in "123")


def write_outcomes(output) -> None:
    writer = ManifestWriter(*output, "r", rows_per_file=2)
    for record in [
        make_record("x", request=FINE),
        make_record("y", request=BROKEN, code="no_audio"),
        make_record("z", request=PASSING, code="throttled"),
        make_record("x", track=1, request=FINE),
        make_record("y", track=1, request=BROKEN),
    ]:
        writer.add([record])
    writer.flush()
    assert len(list_files(*output)) == 3


def test_find_done_wants_every_track_done_and_retries_what_may_pass(output):
    write_outcomes(output)
    assert list(find_done(*output, retry_failed=True)) == list(hash_requests([FINE]))
    assert list(find_done(*output, retry_failed=False)) == list(hash_requests([FINE, BROKEN]))


def test_find_failed_wants_one_failed_track(output):
    write_outcomes(output)
    assert list(find_failed(*output)) == list(hash_requests([BROKEN, PASSING]))


def test_find_done_and_find_failed_are_empty_before_the_first_run(output):
    for found in (find_done(*output, retry_failed=True), find_failed(*output)):
        assert found.dtype == np.uint64 and not len(found)


def test_is_known_marks_the_hashes_that_are_among_those_done():
    done = np.array([2, 5, 2**64 - 1], np.uint64)
    hashes = np.array([0, 2, 3, 2**64 - 1], np.uint64)
    assert is_known(hashes, done).tolist() == [False, True, False, True]
    assert is_known(hashes, done[:0]).tolist() == [False] * 4
