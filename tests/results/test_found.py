"""What a query of `find` means."""

import pytest

from separator.results.found import is_meant


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("rain", True),
        ("Rain", True),
        ("heavy rain", True),
        ("drop", True),
        ("train", False),
        ("ain", False),
        ("rai", False),
        ("heavy", True),
        (".", False),
    ],
)
def test_find_takes_whole_words(query, is_found):
    row = {"query_name": "q", "query_text": "heavy rain, and drops of it"}
    assert is_meant(row, query) is is_found
    assert not is_meant({"query_name": "choo", "query_text": "a train passing"}, "rain")
