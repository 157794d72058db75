"""AudioSet in PANNs' HDF5 layout: waveforms in 16 bits, index files, labels."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from separator.errors import AudioError, RequestError
from separator.storage import Storage
from separator.train.recipe import DataSettings
from separator.train.sound_lists import read_list, read_stretch, read_whole
from separator.train.tag_examples import TagExamples

NUM_SAMPLES = 16_000
SPEECH, DOG = 0, 74


@pytest.fixture
def packed(tmp_path) -> Path:
    """Three sounds in one file, and an index that names the last two in another order."""
    waveforms = (1_000 * np.arange(1, 4)[:, None] * np.ones(NUM_SAMPLES)).astype(np.int16)
    targets = np.zeros((3, 527), bool)
    targets[0, SPEECH] = targets[1, DOG] = targets[2, [SPEECH, DOG]] = True
    with h5py.File(tmp_path / "sounds.h5", "w") as file:
        file["waveform"], file["target"] = waveforms, targets
        file["audio_name"] = [b"a.wav", b"b.wav", b"c.wav"]
    with h5py.File(tmp_path / "index.h5", "w") as file:
        file["hdf5_path"], file["index_in_hdf5"] = [b"sounds.h5"] * 2, [2, 1]
        file["target"], file["audio_name"] = targets[[2, 1]], [b"c.wav", b"b.wav"]
    return tmp_path


@pytest.mark.parametrize(("name", "levels"), [("sounds.h5", [1, 2, 3]), ("index.h5", [3, 2])])
def test_read_list_reads_sounds_and_labels(packed, name, levels):
    sources = read_list(str(packed / name), Storage())
    expected = {1: ("Speech",), 2: ("Dog",), 3: ("Speech", "Dog")}
    assert [source.labels for source in sources] == [expected[level] for level in levels]
    for source, level in zip(sources, levels, strict=True):
        sound_T = read_whole(Storage(), source.uri, 32_000)
        np.testing.assert_allclose(sound_T, level * 1_000 / 32_767, rtol=1e-6)
        assert len(sound_T) == NUM_SAMPLES


def test_read_stretch_takes_the_part_that_was_mined(packed):
    with h5py.File(packed / "sounds.h5", "r+") as file:
        file["waveform"][0] = np.arange(NUM_SAMPLES)
    rng, address = np.random.default_rng(0), f"{packed / 'sounds.h5'}#0"
    part_T = read_stretch(Storage(), address, 3_200, 32_000, rng, start_s=0.25)
    np.testing.assert_allclose(part_T * 32_767, 8_000 + np.arange(3_200), atol=1e-2)


def test_tag_examples_draw_a_sound_for_each_of_its_labels(packed):
    sources = read_list(str(packed / "sounds.h5"), Storage())
    examples = TagExamples(sources, DataSettings(lists=[], segment_s=0.5), 32_000, 0, Storage())
    assert examples.labels == ["Dog", "Speech"]
    labels = examples.make_batch(range(200))["labels"]
    both = (labels.sum(1) == 2).mean()
    assert 0.35 < both < 0.65  # half of the draws for either label


def test_read_list_refuses_other_hdf5_files(packed):
    with h5py.File(packed / "other.h5", "w") as file:
        file["features"] = np.zeros(3)
    with pytest.raises(RequestError, match=r"holds .'features'.*waveform"):
        read_list(str(packed / "other.h5"), Storage())
    (packed / "broken.h5").write_bytes(b"no HDF5")
    with pytest.raises(AudioError, match=r"broken\.h5"):
        read_list(str(packed / "broken.h5"), Storage())
    with pytest.raises(RequestError, match="local folder"):
        read_list("s3://bucket/sounds.h5", Storage())
    with pytest.raises(AudioError, match="has 3 sounds"):
        read_whole(Storage(), f"{packed / 'sounds.h5'}#3", 32_000)


def test_read_whole_resamples_from_the_rate_of_the_file(packed):
    with h5py.File(packed / "sounds.h5", "r+") as file:
        file.attrs["sample_rate"] = np.int32(16_000)
    sound_T = read_whole(Storage(), f"{packed / 'sounds.h5'}#0", 32_000)
    assert len(sound_T) == 2 * NUM_SAMPLES


def test_read_list_refuses_waveforms_that_are_not_in_16_bits(packed):
    with h5py.File(packed / "sounds.h5", "r+") as file:
        del file["waveform"]
        file["waveform"] = np.full((3, NUM_SAMPLES), 0.1, np.float32)
    with pytest.raises(AudioError, match=r"waveform in float32.*int16"):
        read_list(str(packed / "sounds.h5"), Storage())
    with pytest.raises(AudioError, match=r"waveform in float32.*int16"):
        read_whole(Storage(), f"{packed / 'sounds.h5'}#0", 32_000)  # as named by an index


@pytest.mark.parametrize(
    ("name", "column"),
    [("sounds.h5", "waveform"), ("index.h5", "hdf5_path"), ("index.h5", "index_in_hdf5")],
)
def test_read_list_refuses_columns_of_other_lengths(packed, name, column):
    with h5py.File(packed / name, "r+") as file:
        shorter = file[column][:1]
        del file[column]
        file[column] = shorter
    with pytest.raises(RequestError, match=f"1 rows of {column}, [23] of target"):
        read_list(str(packed / name), Storage())
