"""What a query of `find` means."""

import numpy as np
import pytest

from separator.errors import RequestError
from separator.results.found import is_meant, list_found, read_presence
from separator.results.paths import name_presence
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


@pytest.mark.parametrize(
    ("query", "name", "text"),
    [
        ("dogs", "dog", "a dog barking"),
        ("horns", "q", "the horn of a car"),
        ("horn", "horns", ""),
        ("glass", "glass", ""),
        ("a  Dog", "q", "a dog barking"),
        ("cafe\u0301 chatter", "q", "caf\u00e9 chatter"),
    ],
)
def test_find_takes_plurals_spaces_and_accents_in_every_form(query, name, text):
    assert is_meant({"query_name": name, "query_text": text}, query)
    assert not is_meant({"query_name": "q", "query_text": "a train passing"}, query)


@pytest.mark.parametrize("query", ["s", "ss", "trains"])
def test_find_leaves_out_no_more_than_the_s_of_a_plural(query):
    assert not is_meant({"query_name": "rain", "query_text": "heavy rain"}, query)


STRETCH = [{"start_s": 1.0, "stop_s": 2.0, "score": 0.75}]


@pytest.mark.parametrize("is_detect_newer", [False, True])
def test_presence_is_that_of_the_newest_version_of_an_asset(tmp_path, is_detect_newer):
    """One of `run` and `detect` met the asset before it was replaced: its rows say nothing now."""
    uris = [name_presence(str(tmp_path)), str(tmp_path)]
    old, new = reversed(uris) if is_detect_newer else uris
    rows = [
        make_record("/in/a.wav", "siren", track, etag="old") | {"presence": STRETCH}
        for track in (0, 1)
    ]
    rows += [make_record("/in/a.wav", "rain", etag="old", hour=1) | {"presence": STRETCH}]
    write_manifest(Storage(), old, rows)
    row = make_record("/in/a.wav", "siren", etag="new", hour=2) | {"presence": []}
    write_manifest(Storage(), new, [row])
    found = read_presence(Storage(), str(tmp_path))
    assert [(r["query_name"], r["track_index"], r["presence"]) for r in found.rows] == [
        ("siren", 0, [])
    ]
    assert found.num_unheard == 0
    with pytest.raises(RequestError, match=r"listened for rain: .* the assets have changed"):
        read_presence(Storage(), str(tmp_path), "rain")


def test_a_failure_without_a_version_hides_no_presence(tmp_path):
    """Storage could not look at the asset: it may be as it was."""
    heard = make_record("/in/a.wav", "siren") | {"presence": STRETCH}
    write_manifest(Storage(), name_presence(str(tmp_path)), [heard])
    unseen = make_record("/in/a.wav", "siren", -1, etag="", hour=1, code="storage_busy")
    write_manifest(Storage(), str(tmp_path), [unseen])
    found = read_presence(Storage(), str(tmp_path), "siren")
    assert len(found.rows) == 1 and found.num_unheard == 0


def test_assets_in_which_nothing_has_listened_are_counted(tmp_path):
    rows = [make_record(f"/in/{name}", "siren") | {"presence": []} for name in "ab"]
    rows += [make_record(f"/in/{name}", "siren", -1, code="no_audio") for name in "cde"]
    rows += [make_record("/in/c", "siren", -1, etag="new", hour=1) | {"presence": STRETCH}]
    write_manifest(Storage(), str(tmp_path), rows)
    assert read_presence(Storage(), str(tmp_path), "siren").num_unheard == 2


@pytest.mark.parametrize("query", ["", "siren"])
def test_an_output_in_which_nothing_has_listened_is_not_one_that_hears_nothing(tmp_path, query):
    rows = [make_record("/in/a.wav", name) | {"presence": None} for name in ("siren", "rain")]
    write_manifest(Storage(), str(tmp_path / "off"), rows)
    with pytest.raises(RequestError, match=r"nothing has listened for .*siren.*separator detect"):
        read_presence(Storage(), str(tmp_path / "off"), query)
    rows[1]["presence"] = []
    write_manifest(Storage(), str(tmp_path / "on"), rows)
    assert len(read_presence(Storage(), str(tmp_path / "on")).rows) == 1


@pytest.mark.parametrize("score", [0.1, 0.3, 0.7, 0.9])
def test_a_stretch_reaches_the_score_that_it_is_shown_with(score):
    stretch = {"start_s": 0.0, "stop_s": 1.0, "score": float(np.float32(score))}
    row = make_record("/in/a.wav", "siren") | {"presence": [stretch]}
    (found,) = list_found([row], score)
    assert found.score == score
    assert not list(list_found([row], score + 0.0001))
