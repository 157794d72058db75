"""Several mono streams as one track: samples, padding, starts, silence, and what fails."""

import tracemalloc
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from separator.errors import MediaError
from separator.media.groups import group_streams
from separator.media.joined import decode_track, drop_silent
from separator.media.probe import Media, Track, probe
from tests.helpers import media_files as make
from tests.helpers.decoders import list_decoders
from tests.helpers.masters import make_master, make_sounds


def join(path: Path) -> tuple[Media, Track]:
    """Probe a file whose streams are one group."""
    media = probe(path)
    (track,) = group_streams(media.tracks)
    return media, track


def read(path: Path) -> tuple[np.ndarray, str]:
    media, track = join(path)
    blocks = decode_track(path, media, track, block_samples=10_000)
    return np.concatenate(list(blocks), axis=1), blocks.repairs.describe()


def test_decode_track_joins_eight_streams_of_mxf_and_drop_silent_finds_two_empty(tmp_path):
    signal_CT = make_sounds(8, silent=[4, 7])
    path = make_master(tmp_path / "a.mxf", signal_CT)
    media, track = join(path)
    assert track.layout == "7.1"
    left, note = drop_silent(path, media, track)
    assert (left.layout, left.num_channels, note) == ("5.1", 6, "silent streams left out: 4, 7")
    samples_CT = np.concatenate(list(decode_track(path, media, left)), axis=1)
    np.testing.assert_array_equal(samples_CT, signal_CT[[0, 1, 2, 3, 5, 6]])
    np.testing.assert_array_equal(read(path)[0], signal_CT)


def test_decode_track_orders_tagged_streams_of_mov_by_their_channels(tmp_path):
    signal_CT = make_sounds(4)
    path = make_master(tmp_path / "a.mov", signal_CT, names=["LFE", "FC", "FR", "FL"])
    assert join(path)[1].layout == "3.1"
    np.testing.assert_array_equal(read(path)[0], signal_CT[[3, 2, 1, 0]])


def test_decode_track_joins_dual_mono_of_a_transport_stream(tmp_path):
    """A lossy codec: compared with the program ffmpeg, which decodes each stream by itself."""
    path = make_master(tmp_path / "a.ts", make.make_tones(2, 2 * make.HZ), codec="mp2")
    joined_CT, repairs = read(path)
    assert joined_CT.shape[0] == 2 and repairs == ""
    for channel in (0, 1):
        data = make.start("-i", path, "-map", f"0:a:{channel}", "-f", "f32le", "-")
        wanted_T = np.frombuffer(data, "<f4")
        lag = joined_CT.shape[1] - len(wanted_T)  # silence before the sound, of the file's zero
        assert 0 <= lag < make.HZ // 10
        np.testing.assert_allclose(joined_CT[channel, lag:], wanted_T, atol=2e-4)


def test_decode_track_pads_short_streams_and_places_late_ones(tmp_path):
    signal_CT = make_sounds(2)
    long_path, short_path = tmp_path / "long.wav", tmp_path / "short.wav"
    make.write(long_path, signal_CT[:1], "-c:a", "pcm_s24le")
    make.write(short_path, signal_CT[1:, :60_000], "-c:a", "pcm_s24le")
    path = tmp_path / "a.mov"
    inputs = ("-i", long_path, "-itsoffset", 0.05, "-i", short_path)
    make.start(*inputs, "-map", 0, "-map", 1, "-c", "copy", path)
    joined_CT, repairs = read(path)
    wanted_CT = signal_CT.copy()
    wanted_CT[1] = 0.0
    wanted_CT[1, 2_400:62_400] = signal_CT[1, :60_000]
    np.testing.assert_array_equal(joined_CT, wanted_CT)
    assert repairs == "stream 1: ends 0.70 s early"


@pytest.mark.parametrize(("steps", "is_left_out"), [(1, True), (2, False)])
def test_drop_silent_takes_one_step_of_16_bits_for_silence(steps, is_left_out, tmp_path):
    signal_CT = make_sounds(2)
    signal_CT[1] = steps * 2.0**-15 * np.resize([1, -1], signal_CT.shape[1])
    path = make_master(tmp_path / "a.mxf", signal_CT)
    left, note = drop_silent(path, *join(path))
    assert (left.num_channels == 1, bool(note)) == (is_left_out, is_left_out)


def test_drop_silent_keeps_a_group_that_is_silent_as_a_whole(tmp_path):
    path = make_master(tmp_path / "a.mxf", make_sounds(2, silent=[0, 1]))
    media, track = join(path)
    assert drop_silent(path, media, track) == (track, "")


def test_decode_track_fails_where_a_stream_does_and_ends_all_decoders(tmp_path):
    path = make_master(tmp_path / "a.mov", make_sounds(3))
    media, track = join(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError), closing(decode_track(path, media, track)) as blocks:
        list(blocks)
    assert len(list_decoders()) <= 2  # those that are kept idle


@pytest.mark.slow
@pytest.mark.check
def test_decode_track_holds_a_block_of_each_stream(tmp_path):
    """Eight streams of twelve minutes are 184 MB as floats."""
    tone = "sine=sample_rate=8000:duration=720"
    maps = [word for _ in range(8) for word in ("-map", 0)]
    make.start("-f", "lavfi", "-i", tone, *maps, "-c:a", "pcm_s16le", tmp_path / "a.mov")
    media, track = join(tmp_path / "a.mov")
    num_samples = 0
    tracemalloc.start()
    try:
        for block_CT in decode_track(tmp_path / "a.mov", media, track):
            num_samples += block_CT.size
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert num_samples == 8 * 720 * 8_000
    assert peak_bytes < 32 << 20
