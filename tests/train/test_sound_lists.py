"""Lists of captioned sounds: which rows are trained with."""

import json

import pytest

from separator.errors import RequestError
from separator.sounds.recordings import read_recordings
from separator.storage import Storage
from separator.train.sound_lists import is_permissive, read_lists


def write_list(path, licences):
    rows = [
        {"audio": f"{i}.wav", "caption": "rain", "licence": licence}
        for i, licence in enumerate(licences)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return [str(path)]


def test_licences_leave_out_what_asks_for_more_than_credit(tmp_path):
    lists = write_list(tmp_path / "a.jsonl", ["GPL-2", "CC0-1.0", "", "CC-BY-SA-3.0", "CC-BY-3.0"])
    assert len(read_lists(lists, Storage())) == 5
    found = [source.uri[-5:] for source in read_lists(lists, Storage(), (), "permissive")]
    assert found == ["1.wav", "2.wav", "4.wav"]
    lists = write_list(tmp_path / "b.jsonl", ["GPL-2"])
    with pytest.raises(RequestError, match="no sound listed in them of permissive licences"):
        read_lists(lists, Storage(), (), "permissive")


def test_the_licences_of_the_recordings_are_told_apart():
    licences = {recording.licence for recording in read_recordings()}
    assert {each for each in licences if is_permissive(each)} == {
        "CC0-1.0", "CC-BY-3.0", "Expat (MIT)", "BSD-2-Clause", "BSD-3-Clause", "Zlib",
        "public domain",
    }  # fmt: skip
    assert not any(map(is_permissive, ["CC-BY-NC-4.0", "CC-BY-ND-4.0", "CC-BY-SA-4.0", "GPL", "?"]))
