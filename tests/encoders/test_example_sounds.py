"""Test finding and decoding example sounds: folders and files, any container, bounded length."""

import numpy as np
import pytest
import soundfile

from separator.encoders.example_sounds import (
    ExampleSound,
    decode_examples,
    describe_versions,
    gather_examples,
    list_examples,
)
from separator.errors import (
    MediaError,
    MediaUnreadable,
    NoAudio,
    ObjectChanged,
    ObjectMissing,
    QueryError,
)
from separator.queries import Query
from separator.storage import Storage
from tests.helpers import media_files

HZ = 48_000


def find(storage: Storage, *audio: str) -> list[ExampleSound]:
    query = Query("bird", audio=audio)
    return list(decode_examples(storage, query, list_examples(storage, query)))


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    return media_files.make_tones(2, HZ)


@pytest.fixture(scope="module")
def kit(tone, tmp_path_factory):
    """A folder as people keep them: sounds of several kinds, notes, and a folder below."""
    folder = tmp_path_factory.mktemp("kit")
    for name in ("b.mp3", "a.ogg", "c/d.flac", "film.mkv"):
        (folder / name).parent.mkdir(exist_ok=True)
        media_files.write(folder / name, tone, "-ac", 2)
    (folder / "notes.txt").write_text("no media")
    return folder


def test_a_folder_is_every_media_file_in_it_in_order_of_uris(kit, tone):
    sounds = find(Storage(), str(kit))
    names = [sound.name.removeprefix(f"query 'bird': {kit}/") for sound in sounds]
    assert names == ["a.ogg", "b.mp3", "c/d.flac", "film.mkv"]
    mono_T = tone.mean(0)
    for sound in sounds:
        assert sound.rate_hz == HZ and sound.samples.shape[0] == 1
        part = slice(HZ // 4, HZ // 2)
        assert np.abs(sound.samples[0, part] - mono_T[part]).max() < 0.02, sound.name


def test_files_are_taken_by_any_name_and_once(kit, tmp_path):
    odd = tmp_path / "odd name"
    odd.write_bytes((kit / "a.ogg").read_bytes())
    query = Query("bird", audio=(str(odd), str(kit / "b.mp3"), str(kit), str(kit / "b.mp3")))
    entries = list_examples(Storage(), query)
    assert [entry.uri for entry in entries] == sorted({entry.uri for entry in entries})
    assert len(entries) == 5 and str(odd) in [entry.uri for entry in entries]


def test_sounds_lie_on_s3_too(kit, moto_bucket):
    storage = moto_bucket.storage
    for path in (kit / "a.ogg", kit / "b.mp3", kit / "notes.txt"):
        storage.upload(path, f"{moto_bucket.uri}/queries/bird/{path.name}")
    folder = f"{moto_bucket.uri}/queries/bird/"
    sounds = find(storage, folder)
    assert [sound.name.rpartition("/")[2] for sound in sounds] == ["a.ogg", "b.mp3"]
    (local,) = find(Storage(), str(kit / "a.ogg"))
    np.testing.assert_array_equal(sounds[0].samples, local.samples)
    query = Query("bird", audio=(folder,))
    before = describe_versions(list_examples(storage, query))
    assert describe_versions(list_examples(storage, query)) == before
    storage.upload(kit / "c/d.flac", f"{folder}b.mp3")
    assert describe_versions(list_examples(storage, query)) != before
    for missing in ("cat/a.wav", "cat/", "cat"):
        uri = f"{moto_bucket.uri}/queries/{missing}"
        with pytest.raises(ObjectMissing, match=f"query 'bird': {uri}: nothing lies there"):
            list_examples(storage, Query("bird", audio=(uri,)))


def test_errors_name_the_query_and_the_file(kit, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("x")
    (tmp_path / "text.wav").write_text("not media")
    silent_film = media_files.write_picture(tmp_path / "film.mp4", 0.2)
    for audio, kind, message in (
        ("empty", QueryError, "holds no media file .1 other files"),
        ("gone.wav", ObjectMissing, "gone.wav"),
        ("text.wav", MediaUnreadable, "text.wav"),
        (silent_film.name, NoAudio, "no audio stream"),
    ):
        with pytest.raises(kind, match=f"^query 'bird': .*{audio}.*") as caught:
            find(Storage(), str(tmp_path / audio))
        assert message.split(" .")[0] in str(caught.value) and "\n" not in str(caught.value)


def test_a_sound_that_changed_since_it_was_listed_is_an_error(tmp_path, kit):
    path = tmp_path / "a.ogg"
    path.write_bytes((kit / "a.ogg").read_bytes())
    query = Query("bird", audio=(str(path),))
    entries = list_examples(Storage(), query)
    path.write_bytes((kit / "b.mp3").read_bytes())
    with pytest.raises(ObjectChanged, match="query 'bird'"):
        list(decode_examples(Storage(), query, entries))


def test_of_a_long_sound_the_first_minutes_are_taken(tmp_path, caplog):
    path = tmp_path / "long.wav"
    samples_T = (np.arange(1_000 * 700) % 1_000 - 500).astype(np.int16)
    soundfile.write(path, samples_T, 1_000)
    (sound,) = find(Storage(), str(path))
    assert sound.samples.shape == (1, 600 * 1_000)
    np.testing.assert_allclose(sound.samples[0], samples_T[:600_000] / 32_768, atol=1e-7)
    assert "only its first 600 s are an example" in caplog.text


def test_too_many_sounds_are_refused(tmp_path, kit):
    for number in range(12):
        (tmp_path / f"{number}.ogg").write_bytes(b"x")
    assert len(list_examples(Storage(), Query("q", audio=(str(tmp_path),)))) == 12
    for number in range(1_001):
        (tmp_path / f"{number}.ogg").touch()
    with pytest.raises(QueryError, match="1001 example sounds, at most 1,000"):
        list_examples(Storage(), Query("q", audio=(str(tmp_path),)))


def test_samples_and_files_of_a_notebook_are_gathered_in_order(kit):
    pair = (np.zeros((1, 8_000), np.float32), 8_000)
    query = Query("bird", audio=(str(kit / "a.ogg"), pair, str(kit / "c")))
    sounds = list(gather_examples(Storage(), query))
    assert [sound.rate_hz for sound in sounds] == [HZ, 8_000, HZ]
    assert sounds[1].samples is pair[0] and "example sound 2" in sounds[1].name


def test_media_errors_are_typed_by_the_decoder(kit, tmp_path):
    whole = (kit / "c/d.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match=r"query 'bird': .*cut.flac"):
        find(Storage(), str(tmp_path / "cut.flac"))


def test_a_file_that_a_notebook_names_twice_is_gathered_once_as_in_the_job(kit):
    twice = (str(kit / "a.ogg"), str(kit), str(kit / "a.ogg"))
    sounds = list(gather_examples(Storage(), Query("bird", audio=twice)))
    listed = list_examples(Storage(), Query("bird", audio=twice))
    assert sorted(s.name for s in sounds) == [f"query 'bird': {entry.uri}" for entry in listed]
    assert len(sounds) > 1
