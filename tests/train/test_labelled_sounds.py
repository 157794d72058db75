"""Lists of labelled sounds: AudioSet's own layout, tables, and what is wrong with others."""

import json

import pytest

from separator.errors import RequestError
from separator.storage import Storage
from separator.train.labelled_sounds import Labelled, read_labelled
from separator.train.sound_lists import read_list
from tests.helpers.benchmarks import write_audioset

STORAGE = Storage()


def read(uri, audio="", class_list=""):
    return read_labelled(STORAGE, str(uri), str(audio), str(class_list))


def test_audiosets_list_finds_its_sounds_and_counts_those_that_are_gone(tmp_path):
    listed = write_audioset(tmp_path / "audio")
    sounds, num_missing = read(listed)
    assert len(sounds) == 6 and num_missing == 1
    first, second = sounds[:2]
    assert first == Labelled(f"{tmp_path}/audio/id_-0000000_30.000.flac", (81, 0))
    assert second == Labelled(f"{tmp_path}/audio/Yid_-0000001.wav", (63, 0))
    moved = tmp_path / "lists" / "own.csv"
    moved.parent.mkdir()
    listed.rename(moved)
    classes = tmp_path / "audio" / "class_labels_indices.csv"
    assert read(moved, tmp_path / "audio", classes)[0] == sounds
    with pytest.raises(RequestError, match=r"class_labels_indices.csv and name it by class_list="):
        read(moved, tmp_path / "audio")


@pytest.mark.parametrize("labels", [["Cat", "Speech"], "Cat;Speech", [81, 0], "81; 0"])
def test_tables_name_sound_and_labels(labels, tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps({"audio": "a/b.wav", "labels": labels}) + "\n")
    assert read(path) == ([Labelled(f"{tmp_path}/a/b.wav", (81, 0))], 0)
    assert read(path, "/other")[0][0].uri == "/other/a/b.wav"


def test_a_name_with_a_comma_is_one_label(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text('audio,labels\na.wav,"Male speech, man speaking"\n')
    assert read(path)[0][0].classes == (1,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("audio,labels\na.wav,Catt\n", "row 1: 'Catt' is no class of AudioSet"),
        ("audio,labels\na.wav,527\n", "'527' is no class"),
        ("audio,captions\na.wav,Cat\n", "needed are labels and one of"),
        ("audio,labels\n", "no sounds in it"),
        ("abcdefghijk, 0, 10\n", "needed are labels"),
    ],
)
def test_other_lists_are_refused(text, reason, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(text + ("x\n" if text.startswith("abc") else ""))
    with pytest.raises(RequestError, match=reason):
        read(path)


def test_audiosets_list_without_its_sounds_is_refused(tmp_path):
    listed = write_audioset(tmp_path / "audio")
    with pytest.raises(RequestError, match=r"none of the 7 sounds .* such as id_-0000000.wav"):
        (tmp_path / "empty").mkdir()
        read(listed, tmp_path / "empty")
    with pytest.raises(RequestError, match=r"audio=.*/none: no such folder"):
        read(listed, tmp_path / "none")
    (tmp_path / "audio/class_labels_indices.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RequestError, match=r"not AudioSet's class_labels_indices.csv"):
        read(listed)
    listed.write_text('abcdefghijk, 0, 10, "/m/cat"\nabcdefghijk, 0, 10\n')
    with pytest.raises(RequestError, match="sound 2 has 3 fields"):
        read(listed)


def test_a_training_list_is_audiosets_own(tmp_path):
    sources = read_list(str(write_audioset(tmp_path / "audio")), STORAGE)
    assert len(sources) == 6
    assert sources[0].labels == ("Cat", "Speech") and sources[0].kind == "Cat"
    assert sources[1].labels == ("Clapping", "Speech")
    # Other CSV files stay what they were.
    (tmp_path / "own.csv").write_text("audio,captions\na.wav,a cat\n")
    assert read_list(str(tmp_path / "own.csv"), STORAGE)[0].captions == ("a cat",)
