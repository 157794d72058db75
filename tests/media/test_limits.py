"""Test the limits of time, memory and length, and that no harmed decoder is left running."""

import contextlib
import gc
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from separator.audio.format import AudioFormat
from separator.errors import (
    DecoderCrashed,
    DecoderHung,
    EncoderFailed,
    MediaTooLarge,
)
from separator.media.decode import decode
from separator.media.decoder import close_decoders
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.ffmpeg import QUIET, Child, run
from separator.media.limits import Limits
from separator.media.probe import probe
from tests.helpers import media_files as make
from tests.helpers.decoders import list_decoders

STEREO = AudioFormat(48_000, 2)


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """Make an hour of silence in a sparse file."""
    path = make.write(tmp_path / "x.w64", make.make_noise(2, 1000, 16), layout="stereo")
    data = bytearray(path.read_bytes())
    at = data.find(b"data\xf3\xac\xd3\x11")
    data[at + 16 : at + 24] = (24 + 3600 * 48_000 * 4).to_bytes(8, "little")
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(at + 24 + 3600 * 48_000 * 4)
    return path


@pytest.fixture(autouse=True)
def no_idle_decoders() -> None:
    close_decoders()


@contextlib.contextmanager
def stop_child() -> Iterator[None]:
    """Stop the next decoder as soon as it runs; it makes no progress from then on."""
    is_over = threading.Event()

    def stop_first() -> None:
        while not is_over.wait(0.01):
            for child in list_decoders():
                child.send_signal(signal.SIGSTOP)
                return

    stopper = threading.Thread(target=stop_first)
    stopper.start()
    try:
        yield
    finally:
        is_over.set()
        stopper.join()


def test_close_before_the_end_ends_the_decoder(long_file: Path) -> None:
    media = probe(long_file)
    close_decoders()
    gc.collect()  # files of earlier tests are closed before they are counted
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        blocks = decode(long_file, media, media.tracks[0])
        next(blocks)
        (child,) = list_decoders()
        blocks.close()
        assert not child.is_running()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_exception_in_reader_ends_the_decoder(long_file: Path) -> None:
    media = probe(long_file)
    with pytest.raises(ZeroDivisionError):
        for _ in decode(long_file, media, media.tracks[0]):
            raise ZeroDivisionError
    assert list_decoders() == []


@pytest.mark.slow
@pytest.mark.check
def test_stall_limit_ignores_slow_reader(long_file: Path) -> None:
    media = probe(long_file)
    blocks = decode(long_file, media, media.tracks[0], Limits(stall_s=10.0))
    next(blocks)
    time.sleep(11.0)
    for _ in range(50):
        next(blocks)
    blocks.close()


def test_decode_raises_hung_without_progress(long_file: Path) -> None:
    media = probe(long_file)
    blocks = decode(long_file, media, media.tracks[0], Limits(stall_s=0.5))
    with stop_child(), pytest.raises(DecoderHung, match=r"no progress for 0\.5 s") as caught:
        list(blocks)
    assert caught.value.code == "decoder_hung"
    assert list_decoders() == []


def test_decode_raises_hung_after_timeout(long_file: Path) -> None:
    media = probe(long_file)
    with pytest.raises(DecoderHung, match=r"not done after 0\.2 s"):
        for _ in decode(long_file, media, media.tracks[0], Limits(timeout_s=0.2)):
            pass
    assert list_decoders() == []


def test_decode_raises_crashed_with_signal(long_file: Path) -> None:
    media = probe(long_file)
    blocks = decode(long_file, media, media.tracks[0])
    next(blocks)
    (child,) = list_decoders()
    child.send_signal(signal.SIGSEGV)
    with pytest.raises(DecoderCrashed, match="SIGSEGV") as caught:
        list(blocks)
    assert caught.value.code == "decoder_crashed"
    next(decode(long_file, media, media.tracks[0]))  # it costs one file


def test_decode_limits_duration(long_file: Path) -> None:
    media = probe(long_file)
    with pytest.raises(MediaTooLarge, match="max_duration_s=100") as caught:
        for _ in decode(long_file, media, media.tracks[0], Limits(max_duration_s=100)):
            pass
    assert caught.value.code == "media_too_large"


@pytest.mark.parametrize("suffix", [".flac", ".mka"])
def test_decode_refuses_a_stated_length_over_the_limit_before_the_first_block(
    suffix: str, tmp_path: Path
) -> None:
    """Silence of any length is a file of next to nothing; its spans would be separated in vain."""
    path = make.write(tmp_path / f"x{suffix}", np.zeros((1, 20 * 8_000)), rate_hz=8_000)
    media = probe(path)
    with pytest.raises(MediaTooLarge, match="track 0 is longer than max_duration_s=15"):
        next(decode(path, media, media.tracks[0], Limits(max_duration_s=15), block_samples=800))
    long_enough = Limits(max_duration_s=25)
    with contextlib.closing(decode(path, media, media.tracks[0], long_enough)) as blocks:
        next(blocks)


@pytest.mark.slow
@pytest.mark.check
def test_run_limits_memory(tmp_path: Path) -> None:
    # To reverse an endless sound, ffmpeg keeps all of it. Out of memory it retries until it stalls.
    source = ["-f", "lavfi", "-i", "aevalsrc=0|0|0|0|0|0|0|0:s=192000", "-af", "areverse"]
    command = ["ffmpeg", *QUIET, *source, "-f", "f32le", "pipe:1"]
    with pytest.raises(MediaTooLarge, match="memory_bytes=700,000,000"):
        run(command, tmp_path / "x", Limits(memory_bytes=700_000_000, stall_s=15), 1000)


def test_memory_limit_is_enough_for_surround(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.m4a", make.make_tones(6, 20_000), layout="5.1")
    make.read(path, limits=Limits(memory_bytes=1 << 30))


def test_run_limits_output(tmp_path: Path) -> None:
    command = ["ffmpeg", *QUIET, "-f", "lavfi", "-i", "anullsrc", "-f", "f32le", "pipe:1"]
    with pytest.raises(MediaTooLarge, match="writes more than 100,000 bytes"):
        run(command, tmp_path / "x", Limits(), 100_000)
    assert list_decoders() == []


def test_run_of_a_command_that_is_too_long_is_too_large(tmp_path: Path) -> None:
    """Linux takes 128 KiB in an argument; a tag of a file may be longer."""
    with pytest.raises(MediaTooLarge, match="has too many streams, or too long tags"):
        run(["ffprobe", "-i", "x" * 200_000], tmp_path / "x.mkv", Limits(), 100)


def test_child_drains_stderr(tmp_path: Path) -> None:
    source = "sine=d=20,ashowinfo"
    command = ["ffmpeg", "-nostdin", "-f", "lavfi", "-i", source, "-f", "f32le", "pipe:1"]
    with Child(command, tmp_path / "x", Limits(stall_s=20)) as child:
        num_bytes = sum(len(data) for data in child.read())
        code, tail = child.finish()
    assert (code, num_bytes) == (0, 20 * 44_100 * 4)
    assert 0 < len(tail) <= 400 and "\n" not in tail


def test_encode_limits_file_size(tmp_path: Path) -> None:
    blocks = (np.zeros((2, 48_000), np.float32) for _ in range(200))
    limits = Limits(max_file_bytes=1 << 20)
    with pytest.raises(EncoderFailed):
        settings = EncodeSettings("wav", 16)
        encode(blocks, tmp_path / "x.wav", STEREO, settings=settings, limits=limits)
    assert not (tmp_path / "x.wav").exists()
