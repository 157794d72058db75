"""Test that one process decodes file after file within its limits, and that harm ends it."""

import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from separator.media.decode import decode
from separator.media.decoder import close_decoders, close_probed_files, unpack
from separator.media.limits import Limits
from separator.media.messages import FRAME, NO_TIME, SAMPLES_HEAD, is_custom
from separator.media.probe import probe
from tests.helpers import media_files as make
from tests.helpers.decoders import list_decoders


@pytest.fixture(autouse=True)
def no_idle_decoders() -> None:
    close_decoders()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("decoder") / "x.wav"
    return make.write(path, make.make_noise(2, 9000, 16), layout="stereo")


def test_one_process_decodes_file_after_file(path: Path) -> None:
    make.read(path)
    (first,) = list_decoders()
    for _ in range(3):
        make.read(path)
    assert list_decoders() == [first]


def test_process_is_replaced_after_its_files(path: Path) -> None:
    limits, pids = Limits(files_each=2), []
    for _ in range(4):
        media = probe(path, limits)
        pids += [child.pid for child in list_decoders()]
        list(decode(path, media, media.tracks[0], limits))
    assert len(set(pids)) > 1
    assert len(list_decoders()) <= 1


def test_idle_process_that_was_killed_costs_no_file(path: Path) -> None:
    make.read(path)
    (child,) = list_decoders()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert make.read(path)[0].shape == (2, 9000)


def test_two_tracks_are_decoded_at_the_same_time(path: Path) -> None:
    media = probe(path)
    pair = [decode(path, media, media.tracks[0], block_samples=1000) for _ in range(2)]
    for one, other in zip(*pair, strict=True):
        np.testing.assert_array_equal(one, other)


def test_process_has_limits_and_no_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unspoken")
    limits = Limits(memory_bytes=1 << 30)
    media = probe(path, limits)
    list(decode(path, media, media.tracks[0], limits))
    (child,) = list_decoders()
    assert child.rlimit(psutil.RLIMIT_AS)[0] == 1 << 30
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)  # it writes no file
    assert 0 < child.rlimit(psutil.RLIMIT_CPU)[0] < limits.timeout_s + 60
    assert "AWS_SECRET_ACCESS_KEY" not in child.environ()


def test_process_ends_with_its_parent(path: Path) -> None:
    probe(path)
    (child,) = list_decoders()
    close_decoders()
    assert not child.is_running()


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("u8", np.array([0, 128, 255], "u1"), [-1.0, 0.0, 127 / 128]),
        ("s16p", np.array([-32768, 1, 32767], "<i2"), [-1.0, 2.0**-15, 1 - 2.0**-15]),
        ("s32", np.array([-(2**31), 256, 2**31 - 1], "<i4"), [-1.0, 2.0**-23, 1.0]),
        ("dblp", np.array([0.1, -7.0, 0.0], "<f8"), [np.float32(0.1), -7.0, 0.0]),
    ],
)
def test_unpack_converts_to_float32(name: str, values: np.ndarray, expected: list) -> None:
    head = SAMPLES_HEAD.pack(name.encode(), 1, 2) + FRAME.pack(5, 2) + FRAME.pack(NO_TIME, 1)
    frames, samples_CT = unpack(head + values.tobytes())
    assert frames == [(5, 2), (None, 1)]
    assert samples_CT.dtype == np.float32
    np.testing.assert_array_equal(samples_CT, np.array([expected], np.float32))


def test_unpack_refuses_a_message_of_another_length() -> None:
    head = SAMPLES_HEAD.pack(b"s16", 2, 1) + FRAME.pack(0, 3)
    with pytest.raises(ValueError, match="reshape"):
        unpack(head + bytes(2 * 2 * 4))


def test_is_custom_tells_orders_of_channels() -> None:
    assert not any(map(is_custom, ["mono", "5.1(side)", "16 channels", "3 channels (FL+FR+LFE)"]))
    assert is_custom("2 channels (FR+FL)") and is_custom("2 channels (FL+FL)")


def test_decode_of_channels_in_another_order(tmp_path: Path) -> None:
    """PyAV 18 frees the layout of such a track twice."""
    signal_CT = make.make_noise(2, 9600, 16)
    path = make.write(tmp_path / "x.mov", signal_CT, "-c:a", "pcm_s16le", layout="FR+FL")
    assert probe(path).tracks[0].layout is None
    for _ in range(2):
        np.testing.assert_array_equal(make.read(path)[0], signal_CT)


def test_close_probed_files_closes_a_file_that_nothing_decoded(path: Path) -> None:
    """On the disk the room of a deleted file is free only then."""
    media = probe(path)
    (child,) = list_decoders()
    assert str(path) in [each.path for each in child.open_files()]
    close_probed_files()
    assert str(path) not in [each.path for each in child.open_files()]
    assert make.read(path)[0].shape == (2, 9000) and media.tracks
    assert list_decoders() == [child]
    close_probed_files()  # of nothing
    probe(path)
    child.kill()
    child.wait()
    close_probed_files()
    assert make.read(path)[0].shape == (2, 9000)
