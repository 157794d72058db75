"""Time, memory and length are bounded, and no ffmpeg outlives its work."""

import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from separator.errors import (
    DecoderCrashed,
    DecoderHung,
    EncoderFailed,
    MediaTooLarge,
)
from separator.media.decode import decode
from separator.media.encode import EncodeSettings, encode
from separator.media.ffmpeg import QUIET, Child, run
from separator.media.limits import Limits
from separator.media.probe import probe
from tests.helpers import media_files as make


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """An hour of silence that takes no room on disk."""
    path = make.write(tmp_path / "x.w64", make.make_noise(2, 1000, 16), layout="stereo")
    data = bytearray(path.read_bytes())
    at = data.find(b"data\xf3\xac\xd3\x11")
    data[at + 16 : at + 24] = (24 + 3600 * 48_000 * 4).to_bytes(8, "little")
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(at + 24 + 3600 * 48_000 * 4)
    return path


def list_children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "ff" in p.name()]


def check_none_left(before: list[psutil.Process]) -> None:
    assert [p for p in list_children() if p not in before] == []


def test_closing_early_ends_ffmpeg(long_file: Path) -> None:
    media = probe(long_file)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        blocks = decode(long_file, media, media.tracks[0])
        next(blocks)
        (child,) = list_children()
        blocks.close()
        assert not child.is_running()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_an_error_in_the_reader_ends_ffmpeg(long_file: Path) -> None:
    media = probe(long_file)
    with pytest.raises(ZeroDivisionError):
        for _ in decode(long_file, media, media.tracks[0]):
            raise ZeroDivisionError
    check_none_left([])


def test_a_slow_reader_is_not_a_hang(long_file: Path) -> None:
    media = probe(long_file)
    blocks = decode(long_file, media, media.tracks[0], Limits(stall_s=0.3, timeout_s=20))
    next(blocks)
    time.sleep(1.0)
    for _ in range(50):
        next(blocks)
    blocks.close()


def test_no_progress_is_a_hang(long_file: Path) -> None:
    media = probe(long_file)
    blocks = decode(long_file, media, media.tracks[0], Limits(stall_s=0.5))
    next(blocks)
    (child,) = list_children()
    child.send_signal(signal.SIGSTOP)
    with pytest.raises(DecoderHung, match=r"no progress for 0\.5 s") as caught:
        list(blocks)
    assert caught.value.code == "decoder_hung"
    assert not child.is_running()


def test_progress_that_takes_too_long_is_a_hang(long_file: Path) -> None:
    media = probe(long_file)
    with pytest.raises(DecoderHung, match=r"not done after 0\.2 s"):
        for _ in decode(long_file, media, media.tracks[0], Limits(timeout_s=0.2)):
            pass
    check_none_left([])


def test_a_crash_is_told_by_its_signal(long_file: Path) -> None:
    media = probe(long_file)
    blocks = decode(long_file, media, media.tracks[0])
    next(blocks)
    (child,) = list_children()
    child.send_signal(signal.SIGSEGV)
    with pytest.raises(DecoderCrashed, match="SIGSEGV") as caught:
        list(blocks)
    assert caught.value.code == "decoder_crashed"


def test_the_length_of_a_track_is_bounded(long_file: Path) -> None:
    media = probe(long_file)
    with pytest.raises(MediaTooLarge, match="max_duration_s=100") as caught:
        for _ in decode(long_file, media, media.tracks[0], Limits(max_duration_s=100)):
            pass
    assert caught.value.code == "media_too_large"
    check_none_left([])


def test_memory_is_bounded(tmp_path: Path) -> None:
    # Reversed, a sound without end is kept whole.
    source = ["-f", "lavfi", "-i", "aevalsrc=0|0|0|0|0|0|0|0:s=192000", "-af", "areverse"]
    command = ["ffmpeg", *QUIET, *source, "-f", "f32le", "pipe:1"]
    with pytest.raises(MediaTooLarge, match="memory_bytes=700,000,000"):
        run(command, tmp_path / "x", Limits(memory_bytes=700_000_000, stall_s=4), 1000)


def test_memory_is_enough_for_ordinary_work(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.m4a", make.make_tones(6, 20_000), layout="5.1")
    make.read(path, limits=Limits(memory_bytes=1 << 30))


def test_what_ffprobe_says_is_bounded(tmp_path: Path) -> None:
    command = ["ffmpeg", *QUIET, "-f", "lavfi", "-i", "anullsrc", "-f", "f32le", "pipe:1"]
    with pytest.raises(MediaTooLarge, match="says more than 100,000 bytes"):
        run(command, tmp_path / "x", Limits(), 100_000)
    check_none_left([])


def test_a_flood_of_messages_blocks_nothing(tmp_path: Path) -> None:
    source = "sine=d=20,ashowinfo"
    command = ["ffmpeg", "-nostdin", "-f", "lavfi", "-i", source, "-f", "f32le", "pipe:1"]
    with Child(command, tmp_path / "x", Limits(stall_s=20)) as child:
        num_bytes = sum(len(data) for _, data in child.read())
        code, tail = child.finish()
    assert (code, num_bytes) == (0, 20 * 44_100 * 4)
    assert 0 < len(tail) <= 400 and "\n" not in tail


def test_a_file_is_not_written_without_end(tmp_path: Path) -> None:
    blocks = (np.zeros((2, 48_000), np.float32) for _ in range(200))
    limits = Limits(max_file_bytes=1 << 20)
    with pytest.raises(EncoderFailed):
        encode(blocks, tmp_path / "x.wav", 48_000, 2, EncodeSettings("wav", 16), limits=limits)
    assert not (tmp_path / "x.wav").exists()


def test_an_encoder_that_hangs(tmp_path: Path) -> None:
    def stop_it() -> None:
        while not list_children():
            time.sleep(0.01)
        list_children()[0].send_signal(signal.SIGSTOP)

    stopper = threading.Thread(target=stop_it)
    stopper.start()
    blocks = (np.zeros((2, 48_000), np.float32) for _ in range(2000))
    with pytest.raises(EncoderFailed, match="no progress"):
        encode(blocks, tmp_path / "x.flac", 48_000, 2, limits=Limits(stall_s=1.0))
    stopper.join()
    assert list(tmp_path.iterdir()) == []
    check_none_left([])
