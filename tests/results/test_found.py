"""What a query of `find` means."""

import numpy as np
import pytest

from separator.errors import RequestError
from separator.results.found import is_meant, list_found, read_presence
from separator.storage import Storage
from tests.helpers.export_library import write_manifest
from tests.helpers.records import make_record


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


@pytest.mark.parametrize("query", ["", "siren"])
def test_an_output_in_which_nothing_has_listened_is_not_one_that_hears_nothing(tmp_path, query):
    rows = [make_record("/in/a.wav", name) | {"presence": None} for name in ("siren", "rain")]
    write_manifest(Storage(), str(tmp_path / "off"), rows)
    with pytest.raises(RequestError, match=r"nothing has listened for .*siren"):
        read_presence(Storage(), str(tmp_path / "off"), query)
    rows[1]["presence"] = []
    write_manifest(Storage(), str(tmp_path / "on"), rows)
    assert len(read_presence(Storage(), str(tmp_path / "on"))) == 1


@pytest.mark.parametrize("score", [0.1, 0.3, 0.7, 0.9])
def test_a_stretch_reaches_the_score_that_it_is_shown_with(score):
    stretch = {"start_s": 0.0, "stop_s": 1.0, "score": float(np.float32(score))}
    row = make_record("/in/a.wav", "siren") | {"presence": [stretch]}
    (found,) = list_found([row], score)
    assert found.score == score
    assert not list(list_found([row], score + 0.0001))
