"""Test media that are rare and legal: lengths, rates, tracks and names that few programs write."""

import os
import shutil
import socket
import struct
from pathlib import Path

import numpy as np
import psutil
import pytest

from separator.audio.format import AudioFormat
from separator.errors import MediaTooLarge, MediaUnreadable
from separator.media.decode import decode
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.limits import Limits
from separator.media.probe import probe
from separator.storage import Storage
from tests.helpers import media_files as make
from tests.helpers.decoders import list_decoders

MB = 1 << 20
# Slow, but run by `make check`.
CHECKED = (pytest.mark.slow, pytest.mark.check)


def make_silence(path: Path, hours: float) -> Path:
    """Make a file of silence: minutes of it, repeated."""
    ten = path.with_name(f"ten{path.suffix}")
    options = ["-frame_size", 65_535] if path.suffix == ".flac" else ["-frame_duration", 60]
    make.start("-f", "lavfi", "-i", "anullsrc=r=8000:d=600:cl=mono", *options, ten)
    if path.suffix == ".flac":
        make.start("-f", "lavfi", "-i", f"anullsrc=r=8000:d={3600 * hours}:cl=mono", *options, path)
    else:
        make.start("-stream_loop", round(6 * hours) - 1, "-i", ten, "-c", "copy", path)
    return path


@pytest.mark.parametrize(
    ("name", "hours", "most_bytes"),
    [
        pytest.param("x.flac", 3, 30_000, marks=CHECKED),
        pytest.param("x.opus", 1, 700_000, marks=CHECKED),
    ],
)
def test_hours_of_silence_are_decoded_in_little_memory(
    name: str, hours: int, most_bytes: int, tmp_path: Path
) -> None:
    path = make_silence(tmp_path / name, hours)
    assert path.stat().st_size < most_bytes
    media = probe(path)
    (track,) = media.tracks
    num_samples, own = 0, psutil.Process()
    held = own.memory_info().rss
    for block_CT in decode(path, media, track):
        num_samples += block_CT.shape[1]
        assert not block_CT.any()
    assert num_samples == pytest.approx(3600 * hours * track.rate_hz, rel=1e-3)
    assert own.memory_info().rss - held < 32 * MB
    assert all(child.memory_info().rss < 100 * MB for child in list_decoders())
    with pytest.raises(MediaTooLarge, match="max_duration_s=1800"):
        list(decode(path, media, track, Limits(max_duration_s=1800)))


def test_wav_of_a_few_samples_is_exact(tmp_path: Path) -> None:
    for num_samples in range(1, 11):
        for num_channels, bits in ((1, 16), (2, 24)):
            signal_CT = make.make_noise(num_channels, num_samples, bits)
            path = tmp_path / f"{num_samples}-{num_channels}.wav"
            settings = EncodeSettings("wav", bits)
            encode([signal_CT], path, AudioFormat(make.HZ, num_channels), settings=settings)
            decoded_CT, decoding = make.read(path)
            np.testing.assert_array_equal(decoded_CT, signal_CT)
            assert decoding.repairs.describe() == ""


def test_flac_of_eight_channels_is_exact(tmp_path: Path) -> None:
    signal_CT = make.make_noise(8, 20_011)
    path = make.write(tmp_path / "x.flac", signal_CT, "-sample_fmt", "s32", layout="7.1")
    np.testing.assert_array_equal(make.read(path)[0], signal_CT)


def test_each_of_twenty_tracks_is_decoded(tmp_path: Path) -> None:
    signals = [make.make_noise(1, 4800 + 100 * i, 16, seed=i) for i in range(20)]
    inputs: list[object] = []
    for number, signal_CT in enumerate(signals):
        part = tmp_path / f"{number}.wav"
        encode([signal_CT], part, AudioFormat(make.HZ, 1), settings=EncodeSettings("wav", 16))
        inputs += ["-i", part]
    maps = [word for number in range(20) for word in ("-map", number)]
    path = tmp_path / "x.mka"
    make.start(*inputs, *maps, "-c:a", "pcm_s16le", path)
    media = probe(path)
    assert len(media.tracks) == 20
    for track, signal_CT in zip(media.tracks, signals, strict=True):
        decoded_CT = np.concatenate(list(decode(path, media, track)), axis=1)
        np.testing.assert_array_equal(decoded_CT, signal_CT)


def test_mp3_that_changes_its_rate_keeps_its_length(tmp_path: Path) -> None:
    parts = []
    for number, rate_hz in enumerate((44_100, 48_000)):
        tone_CT = make.make_tones(1, rate_hz, rate_hz)
        options = ("-write_xing", 0, "-id3v2_version", 0)
        part = tmp_path / f"{number}.mp3"
        parts.append(make.write(part, tone_CT, *options, rate_hz=rate_hz, layout="mono"))
    path = tmp_path / "x.mp3"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    decoded_CT, decoding = make.read(path)
    seconds = decoded_CT.shape[1] / decoding.repairs.rate_hz
    assert seconds == pytest.approx(2.1, abs=0.08)  # both parts have padding


def test_mp3_of_variable_rate_without_header_is_whole(tmp_path: Path) -> None:
    noise_CT = make.make_noise(1, 4 * make.HZ, 16) * np.float32(0.3)
    signal_CT = np.concatenate([noise_CT, np.zeros_like(noise_CT)], axis=1)
    options = ("-q:a", 4, "-write_xing", 0, "-id3v2_version", 0)
    path = make.write(tmp_path / "x.mp3", signal_CT, *options, layout="mono")
    decoded_CT, decoding = make.read(path)
    assert decoding.repairs.describe() == ""
    assert 0 <= decoded_CT.shape[1] - signal_CT.shape[1] < 3 * 1152
    referee = np.frombuffer(make.start("-i", path, "-f", "f32le", "-"), "<f4")
    # ffmpeg 5 begins with the encoder's delay, as we do: the file does not state it.
    assert len(referee) == decoded_CT.shape[1]
    np.testing.assert_allclose(decoded_CT[0], referee, atol=1e-5)


def test_avi_that_states_a_constant_rate_for_a_variable_one_is_whole(tmp_path: Path) -> None:
    """Programs of 2000 wrote such headers: times are counted from bytes, and wander by seconds."""
    signal_CT = make.make_noise(1, 8 * make.HZ, 16) * np.float32(0.3)
    signal_CT[:, 2 * make.HZ : 5 * make.HZ] = 0.0
    picture = make.write_picture(tmp_path / "picture.mp4", 8.0)
    sound = make.write(tmp_path / "x.wav", signal_CT, layout="mono")
    right, path = tmp_path / "right.avi", tmp_path / "x.avi"
    codecs = ["-c:v", "mpeg4", "-c:a", "libmp3lame", "-q:a", 2]
    make.start("-i", picture, "-i", sound, "-map", 0, "-map", 1, *codecs, right)
    packets = make.ask(right, "-select_streams", "a", "-show_entries", "packet=size")["packets"]
    num_bytes = sum(int(packet["size"]) for packet in packets)
    data = bytearray(right.read_bytes())
    header = data.index(b"auds")
    struct.pack_into("<II", data, header + 20, 1, num_bytes // 8)  # one byte, bytes a second
    struct.pack_into("<I", data, header + 32, num_bytes)
    struct.pack_into("<I", data, header + 44, 1)  # bytes of a sample
    about = data.index(b"strf", header) + 8
    struct.pack_into("<IH", data, about + 8, num_bytes // 8, 1)
    path.write_bytes(data)
    decoded_CT, decoding = make.read(path)
    np.testing.assert_array_equal(decoded_CT, make.read(right)[0])
    assert decoding.repairs.describe() == ""


def test_edit_list_cuts_both_ends(tmp_path: Path) -> None:
    clicks = [10_000, 40_000, 80_000]
    whole = make.write(tmp_path / "whole.m4a", make.make_clicks(clicks, 2 * make.HZ), layout="mono")
    path = tmp_path / "cut.m4a"
    make.start("-ss", 0.5, "-i", whole, "-t", 1.0, "-c", "copy", path)
    decoded_CT, _ = make.read(path)
    assert abs(decoded_CT.shape[1] - make.HZ) <= 1024 + 48  # ffmpeg copies whole packets
    assert make.find_click(decoded_CT, 16_000) == 16_000


@pytest.mark.parametrize(
    ("name", "other"), [("x.flac", "x.wav"), ("x.wav", "x.mp3"), ("x.ogg", "x.mp4")]
)
def test_content_counts_and_not_the_name(name: str, other: str, tmp_path: Path) -> None:
    form = name[2:]
    signal_CT = make.make_tones(1, make.HZ)
    encode([signal_CT], tmp_path / name, AudioFormat(make.HZ, 1), settings=EncodeSettings(form, 16))
    expected_CT, _ = make.read(tmp_path / name)
    shutil.copy(tmp_path / name, tmp_path / other)
    np.testing.assert_array_equal(make.read(tmp_path / other)[0], expected_CT)


def test_fifos_and_sockets_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")  # whoever opens it waits for ever
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.wav"))
        (tmp_path / "link.wav").symlink_to(tmp_path / "pipe.wav")
        for name in ("pipe.wav", "socket.wav", "link.wav"):
            with pytest.raises(MediaUnreadable, match="not a regular file"):
                probe(tmp_path / name)
        assert list(Storage().list(str(tmp_path))) == []
