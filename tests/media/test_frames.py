"""Images and frames of videos come as ffmpeg and Pillow see them, from the named file alone."""

import numpy as np
import pytest
from PIL import Image

from separator.errors import MediaError
from separator.media.frames import read_frames
from tests.helpers.media_files import start

COLOURS = {0: (255, 0, 0), 1: (0, 255, 0), 2: (0, 0, 255)}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Three seconds: red, green, blue."""
    path = tmp_path_factory.mktemp("video") / "film.mp4"
    inputs = [
        word
        for name in ("red", "lime", "blue")
        for word in ("-f", "lavfi", "-i", f"color={name}:s=64x48:r=10:d=1")
    ]
    start(*inputs, "-filter_complex", "concat=n=3", "-pix_fmt", "yuv420p", path)
    return path


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "bmp"])
def test_image_is_read_whatever_its_name_says(form, tmp_path):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, 15:] = (200, 100, 50)
    Image.fromarray(pixels).save(tmp_path / f"a.{form}")
    path = (tmp_path / f"a.{form}").rename(tmp_path / "picture%03d.dat")
    (frame,) = read_frames(path)
    assert frame.shape == (20, 30, 3)
    np.testing.assert_allclose(frame[:, 20:].mean((0, 1)), (200, 100, 50), atol=6)


def test_video_gives_one_frame_a_second_or_the_one_at_a_time(video):
    frames = read_frames(video)
    assert 3 <= len(frames) <= 4 and frames[0].shape == (48, 64, 3)
    for second, colour in COLOURS.items():
        (frame,) = read_frames(video, at_s=second + 0.5)
        np.testing.assert_allclose(frame.mean((0, 1)), colour, atol=8)
    with pytest.raises(MediaError, match="no frame at 9 s"):
        read_frames(video, at_s=9)


def test_video_of_less_than_half_a_second_gives_its_first_frame(tmp_path):
    start("-f", "lavfi", "-i", "color=blue:s=64x48:r=10:d=0.3", tmp_path / "short.mp4")
    (frame,) = read_frames(tmp_path / "short.mp4")
    np.testing.assert_allclose(frame.mean((0, 1)), COLOURS[2], atol=8)


def test_file_without_pictures_is_a_typed_error(tmp_path):
    start("-f", "lavfi", "-i", "sine=d=1", tmp_path / "a.wav")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    for name in ("a.wav", "list.m3u8", "half.png"):
        with pytest.raises(MediaError, match=name):
            read_frames(tmp_path / name)


def test_half_a_photograph_is_refused_and_a_missing_end_mark_is_not(tmp_path):
    path = tmp_path / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=r"a\.jpg"):
        read_frames(path)
    path.write_bytes(data[:-2])
    assert len(read_frames(path)) == 1
