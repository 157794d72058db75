"""MUSDB18's layouts: what ffmpeg decodes is what is read; what is missing is named."""

import numpy as np
import pytest
import soundfile

from separator.errors import AudioError, RequestError
from separator.evaluation.musdb_songs import STREAMS, list_songs, read_song
from separator.storage import Storage
from tests.helpers.benchmarks import (
    HZ,
    decode_stream,
    make_song,
    write_musdb,
    write_song,
    write_stem_file,
)

STORAGE = Storage()


def test_stem_file_is_read_as_ffmpeg_decodes_it(tmp_path):
    written = make_song(1, 1.0)
    folder = write_song(tmp_path / "wav", written)
    path = write_stem_file(tmp_path / "data/test/Band - Song.stem.mp4", folder)
    (song,) = list_songs(STORAGE, str(tmp_path / "data"), "test")
    sounds, rate_hz = read_song(STORAGE, song)
    assert song.name == "Band - Song" and rate_hz == HZ and list(sounds) == list(STREAMS)
    for part, sound_CT in sounds.items():
        assert sound_CT.shape[1] >= HZ
        lost_CT = sound_CT[:, :HZ] - written[part]  # by the codec
        assert np.square(lost_CT).sum() < 0.1 * np.square(written[part]).sum(), part
    expected = decode_stream(path, STREAMS.index("vocals"))[:, : sounds["vocals"].shape[1]]
    np.testing.assert_allclose(sounds["vocals"], expected, atol=1e-6)
    only, _ = read_song(STORAGE, song, ("bass",))
    np.testing.assert_array_equal(only["bass"], sounds["bass"])


def test_hq_folders_are_read_in_the_order_of_their_names(tmp_path):
    data = write_musdb(tmp_path / "data", 2, 1, seconds=0.5)
    songs = list_songs(STORAGE, str(data), "train")
    assert [song.name for song in songs] == ["Band 0 - Song", "Band 1 - Song"]
    sounds, rate_hz = read_song(STORAGE, songs[1])
    for part in STREAMS:
        expected, _ = soundfile.read(data / f"train/Band 1 - Song/{part}.wav", dtype="float32")
        np.testing.assert_array_equal(sounds[part], expected.T)
    assert rate_hz == HZ


def test_sounds_of_a_song_are_cut_to_the_shortest(tmp_path):
    song = make_song(1, 0.5)
    song["bass"] = song["bass"][:, :10_000]
    write_song(tmp_path / "test/a", song)
    sounds, _ = read_song(STORAGE, list_songs(STORAGE, str(tmp_path), "test")[0])
    assert {sound.shape for sound in sounds.values()} == {(2, 10_000)}


def test_other_layouts_are_refused_with_what_is_missing(tmp_path):
    with pytest.raises(RequestError, match="test: no such folder; MUSDB18 has train/ and test/"):
        list_songs(STORAGE, str(tmp_path / "none"), "test")
    (tmp_path / "test").mkdir()
    with pytest.raises(RequestError, match=r"no songs; needed are \*.stem.mp4, or folders"):
        list_songs(STORAGE, str(tmp_path), "test")
    folder = write_song(tmp_path / "test/a", make_song(1, 0.1))
    (folder / "drums.wav").unlink()
    with pytest.raises(RequestError, match=r"test/a: has no drums.wav"):
        list_songs(STORAGE, str(tmp_path), "test")
    few = write_stem_file(tmp_path / "few/test/a.stem.mp4", folder, ("mixture", "bass"))
    (song,) = list_songs(STORAGE, str(few.parents[1]), "test")
    with pytest.raises(AudioError, match="2 audio streams; 5 are needed: mixture, drums"):
        read_song(STORAGE, song)
    few.rename(tmp_path / "test/b.stem.mp4")
    with pytest.raises(RequestError, match="put one layout into one folder"):
        list_songs(STORAGE, str(tmp_path), "test")


def test_sounds_of_other_rates_are_refused(tmp_path):
    folder = write_song(tmp_path / "test/a", make_song(1, 0.1))
    soundfile.write(folder / "bass.wav", np.zeros((4_000, 2)), 48_000)
    with pytest.raises(AudioError, match="a: its sounds differ in"):
        read_song(STORAGE, list_songs(STORAGE, str(tmp_path), "test")[0])


def test_a_file_that_is_no_sound_is_named(tmp_path):
    folder = write_song(tmp_path / "test/a", make_song(1, 0.1))
    (folder / "bass.wav").write_bytes(b"RIFF....WAVE nothing")
    with pytest.raises(AudioError, match=r"test/a/bass\.wav: "):
        read_song(STORAGE, list_songs(STORAGE, str(tmp_path), "test")[0])
