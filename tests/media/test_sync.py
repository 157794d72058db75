"""Test that clicks at known instants are decoded at these instants after the first picture."""

from pathlib import Path

import numpy as np
import pytest

from separator.media.probe import probe
from separator.media.timeline import Repairs
from tests.helpers import media_files as make
from tests.helpers.media_files import HZ

# Slow, but run by `make check`.
CHECKED = (pytest.mark.slow, pytest.mark.check)
CLICKS = [4800, 30_000, 80_007]
LENGTH = 2 * HZ
# (file, codec, video codec, samples the click comes late). What a container does not say about an
# encoder's priming cannot be undone: 256 of AC-3 and 1105 of MP3 in AVI. A container that counts
# milliseconds places a track no better than half of one (24 samples), and ffmpeg 5 rounds the delay
# of Opus in Matroska twice (336: the picture is 7 ms late in the file).
PICTURED = [
    ("x.mp4", "aac", "copy", 0),
    pytest.param("x.mp4", "libopus", "copy", 0, marks=CHECKED),
    pytest.param("x.mp4", "ac3", "copy", 0, marks=CHECKED),
    pytest.param("x.mp4", "libmp3lame", "copy", 0, marks=CHECKED),
    pytest.param("x.mov", "pcm_s16le", "copy", 0, marks=CHECKED),
    ("x.mkv", "aac", "copy", 24),
    pytest.param("x.mkv", "flac", "copy", 0, marks=CHECKED),
    pytest.param("x.mkv", "libvorbis", "copy", 24, marks=CHECKED),
    ("x.mkv", "libopus", "copy", 336 + 24),
    ("x.ts", "aac", "copy", 1),
    pytest.param("x.ts", "mp2", "copy", 1, marks=CHECKED),
    pytest.param("x.flv", "aac", "flv1", 24, marks=CHECKED),
    pytest.param("x.avi", "pcm_s16le", "mpeg4", 0, marks=CHECKED),
    ("x.avi", "ac3", "mpeg4", 256),
    pytest.param("x.mxf", "pcm_s16le", "mpeg2video", 0, marks=CHECKED),
    pytest.param("x.wmv", "wmav2", "mpeg4", 24, marks=CHECKED),
]
# Without a picture the first sample is the zero: what the container does not say shows.
BARE = [
    pytest.param("x.wav", "pcm_s16le", 0, marks=CHECKED),
    ("x.m4a", "aac", 0),
    ("x.mp3", "libmp3lame", 0),
    ("x.ogg", "libopus", 0),
    pytest.param("x.ogg", "libvorbis", 0, marks=CHECKED),
    pytest.param("x.webm", "libopus", 0, marks=CHECKED),
    ("x.aac", "aac", 1024),
    ("x.ac3", "ac3", 256),
    pytest.param("x.eac3", "eac3", 256, marks=CHECKED),
    pytest.param("x.mp2", "mp2", 481, marks=CHECKED),
    ("x.wma", "wmav2", -2048),
]


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clicks") / "clicks.wav"
    return make.write(path, make.make_clicks(CLICKS, LENGTH), "-c:a", "pcm_s16le", layout="mono")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write_picture(tmp_path_factory.mktemp("film") / "film.mp4")


def measure(path: Path, clicks: list[int], index: int = 0) -> list[int]:
    """Measure how many samples late each click is, from the first picture as ffprobe sees it."""
    media = probe(path)
    decoded_CT, decoding = make.read(path, index)
    assert decoding.repairs.describe() == ""  # a healthy file needs none
    shift = 0
    if media.video:
        streams = make.ask(path)["streams"]
        first_picture_s = next(s for s in streams if s["codec_type"] == "video")["start_time"]
        assert media.zero_s is not None
        shift = round((float(first_picture_s) - media.zero_s) * HZ)
    return [make.find_click(decoded_CT, at + shift) - at - shift for at in clicks]


@pytest.mark.parametrize(("name", "codec", "video", "late"), PICTURED)
def test_clicks_are_in_sync_with_picture(
    name: str, codec: str, video: str, late: int, clicks: Path, film: Path, tmp_path: Path
) -> None:
    make.start("-i", film, "-i", clicks, "-c:v", video, "-c:a", codec, tmp_path / name)
    for found in measure(tmp_path / name, CLICKS):
        assert abs(found) <= late, (found, late)


@pytest.mark.parametrize(("name", "codec", "late"), BARE)
def test_clicks_are_late_by_unstated_priming_only(
    name: str, codec: str, late: int, clicks: Path, tmp_path: Path
) -> None:
    make.start("-i", clicks, "-c:a", codec, tmp_path / name)
    assert measure(tmp_path / name, CLICKS) == [late] * len(CLICKS)


@pytest.mark.parametrize("name", ["x.m4a", "x.mp3", "opus.ogg"])
def test_gapless_formats_keep_length(name: str, tmp_path: Path) -> None:
    signal_CT = make.make_clicks([5000], 50_001)
    codec = ["-c:a", "libopus"] if name == "opus.ogg" else []
    extra = ["-movie_timescale", HZ] if name == "x.m4a" else []
    path = make.write(tmp_path / name, signal_CT, *codec, *extra, layout="mono")
    decoded_CT, _ = make.read(path)
    assert decoded_CT.shape == (1, 50_001)


OFFSETS = [
    ("x.mp4", "aac", 0.5, 48),  # ffmpeg writes its edit lists in milliseconds
    pytest.param("x.mov", "pcm_s16le", 0.5, 0, marks=CHECKED),
    pytest.param("x.mkv", "pcm_s16le", 0.5, 0, marks=CHECKED),
    ("x.mkv", "aac", 0.5, 24),
    ("x.ts", "aac", 0.5, 1),
]


@pytest.mark.parametrize(("name", "codec", "offset_s", "late"), OFFSETS)
def test_later_track_is_preceded_by_silence(
    name: str, codec: str, offset_s: float, late: int, clicks: Path, film: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    maps = ["-map", 0, "-map", 1, "-c:v", "copy", "-c:a", codec]
    make.start("-i", film, "-itsoffset", offset_s, "-i", clicks, *maps, path)
    expected = [at + round(offset_s * HZ) for at in CLICKS[:2]]
    for found in measure(path, expected):
        assert abs(found) <= late, (found, late)
    decoded_CT, decoding = make.read(path)
    assert abs(decoding.num_before - offset_s * HZ) < 1100  # less the encoder's priming
    assert not decoded_CT[:, : decoding.num_before].any()


def test_later_picture_does_not_move_the_track(clicks: Path, film: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    maps = ["-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "pcm_s16le"]
    make.start("-itsoffset", 0.5, "-i", film, "-i", clicks, *maps, path)
    decoded_CT, decoding = make.read(path)
    assert decoding.num_before == 0
    assert [make.find_click(decoded_CT, at) - at for at in CLICKS] == [0, 0, 0]


def test_tracks_of_one_file_share_zero(clicks: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mka"
    maps = ["-map", 0, "-map", 1, "-c:a", "pcm_s16le"]
    make.start("-i", clicks, "-itsoffset", 0.25, "-i", clicks, *maps, path)
    assert measure(path, CLICKS, 0) == [0, 0, 0]
    assert measure(path, [at + HZ // 4 for at in CLICKS], 1) == [0, 0, 0]


@pytest.mark.parametrize("codec", ["aac"])
def test_edit_list_cuts_the_beginning(codec: str, clicks: Path, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.m4a", tmp_path / "cut.m4a"
    make.start("-i", clicks, "-c:a", codec, whole)
    make.start("-ss", 0.5, "-i", whole, "-c", "copy", path)
    kept = [at - HZ // 2 for at in CLICKS if at > HZ // 2]
    assert make.ask(path, "-show_format")["format"]["start_time"] == "0.000000"
    assert measure(path, kept) == [0, 0]


def test_fragmented_mp4_is_in_sync(clicks: Path, film: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    flags = ["-movflags", "frag_keyframe+empty_moov"]
    make.start(
        "-i", film, "-i", clicks, "-c:v", "copy", "-c:a", "pcm_s16le", *flags, "-f", "mov", path
    )
    decoded_CT, _ = make.read(path)
    first = make.find_click(decoded_CT, CLICKS[0], reach=6000)
    found = [make.find_click(decoded_CT, at + first - CLICKS[0]) - first for at in CLICKS]
    assert found == [at - CLICKS[0] for at in CLICKS]
    assert first - CLICKS[0] == round(0.08 * HZ)  # as late as the picture: two frames of reordering


def drop_packets(path: Path, pid: int, share: tuple[float, float]) -> None:
    """Cut the TS packets of one stream out of a stretch of the file."""
    data = path.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    first, last = (int(len(packets) * part) for part in share)
    kept = [
        packet
        for i, packet in enumerate(packets)
        if not (first <= i < last and int.from_bytes(packet[1:3], "big") & 0x1FFF == pid)
    ]
    assert len(kept) < len(packets)
    path.write_bytes(b"".join(kept))


@pytest.mark.parametrize("codec", ["mp2", pytest.param("aac", marks=CHECKED)])
def test_lost_packets_become_silence_in_sync(
    codec: str, clicks: Path, film: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.ts"
    make.start("-i", film, "-i", clicks, "-c:v", "copy", "-c:a", codec, "-muxdelay", 0, path)
    whole_CT, _ = make.read(path)
    drop_packets(path, 0x101, (0.45, 0.6))
    decoded_CT, decoding = make.read(path, limits=make.LENIENT)
    assert decoding.repairs.num_gaps >= 1 and decoding.repairs.num_filled > 1000
    assert measure_after(decoded_CT, whole_CT, CLICKS[2]) == 0
    assert decoded_CT.shape == whole_CT.shape


def measure_after(decoded_CT: np.ndarray, whole_CT: np.ndarray, near: int) -> int:
    return make.find_click(decoded_CT, near) - make.find_click(whole_CT, near)


def test_millisecond_timestamps_neither_add_nor_drop(clicks: Path, tmp_path: Path) -> None:
    signal_CT = make.make_noise(1, 200_003, 16)
    path = tmp_path / "x.mkv"
    make.write(path, signal_CT, "-c:a", "flac", "-sample_fmt", "s16", rate_hz=44_100, layout="mono")
    decoded_CT, decoding = make.read(path)
    np.testing.assert_array_equal(decoded_CT, signal_CT)
    assert decoding.repairs == Repairs(44_100)
