"""Files that are not what they should be: each is a typed failure with one line, none a crash."""

from pathlib import Path

import numpy as np
import pytest

from separator.errors import (
    LayoutUnsupported,
    MediaDamaged,
    MediaError,
    MediaTooLarge,
    MediaTruncated,
    MediaUnreadable,
    NoAudio,
)
from separator.media.decode import decode
from separator.media.limits import Limits
from separator.media.probe import probe
from tests.helpers import media_files as make

NAMES = ["x.wav", "x.flac", "x.m4a", "x.mp3", "x.mkv", "x.ogg", "x.wma", "x.avi", "x.ts", "x.mov"]
# Cut, these end like a file that was always this short: their headers do not state a length.
SHORTENED = {"x.ogg", "x.wma", "x.ts"}


def make_file(path: Path, seconds: float = 4.0) -> Path:
    extra = {"x.m4a": ["-movflags", "faststart"], "x.mov": ["-movflags", "faststart"]}
    signal_CT = make.make_noise(1, int(seconds * make.HZ), 16) * np.float32(0.3)
    return make.write(path, signal_CT, *extra.get(path.name, []), layout="mono")


def check_line(error: MediaError) -> None:
    text = str(error)
    assert "\n" not in text and len(text) < 800 and text.startswith("'")
    assert "@ 0x" not in text and "/tmp" not in text, text  # the same on every run
    assert error.code != "bad_media"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "share",
    [pytest.param(0.1, marks=pytest.mark.slow), 0.5, pytest.param(0.9, marks=pytest.mark.slow)],
)
def test_truncated(name: str, share: float, tmp_path: Path) -> None:
    path = make_file(tmp_path / name)
    whole_CT, _ = make.read(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    try:
        decoded_CT, _ = make.read(path, limits=Limits(max_error_share=1.0))
    except MediaError as error:
        check_line(error)
        assert isinstance(error, MediaTruncated | MediaUnreadable)
    else:
        missing = whole_CT.shape[1] - decoded_CT.shape[1]
        # Of the avi, nine tenths lack little more than the index.
        assert name in SHORTENED or missing < 0.25 * make.HZ


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.m4a", "x.mp3", "x.mkv", "x.avi", "x.mov"])
def test_what_was_cut_is_told_from_what_is_unreadable(name: str, tmp_path: Path) -> None:
    path = make_file(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.7)])
    media = probe(path)
    blocks = decode(path, media, media.tracks[0], block_samples=1000)
    with pytest.raises(MediaTruncated, match=r"ends at [12]\.\d+ s of [34]\.\d+ s") as caught:
        for block in blocks:
            assert block.shape[1] == 1000  # the unfinished block never comes
    assert caught.value.code == "media_truncated"


def test_an_mp4_without_its_index(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.m4a", make.make_tones(1, 48_000), layout="mono")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaUnreadable, match="moov") as caught:
        probe(path)
    check_line(caught.value)


@pytest.mark.parametrize("name", ["x.flac", "x.m4a", "x.mp3", "x.mkv"])
def test_garbage_from_the_middle_on_is_not_presented_as_whole(name: str, tmp_path: Path) -> None:
    path = make_file(tmp_path / name)
    data = path.read_bytes()
    # The index of an mp4 stands first here: only sound is overwritten.
    garbage = np.random.default_rng(3).bytes(len(data) // 2)
    path.write_bytes(data[: len(data) - len(garbage)] + garbage)
    with pytest.raises((MediaTruncated, MediaDamaged)) as caught:
        make.read(path)
    check_line(caught.value)


@pytest.mark.parametrize("damage", [bytes(50), b"\x55"], ids=["zeros", "one byte"])
def test_a_little_damage_is_silence_in_its_place(damage: bytes, tmp_path: Path) -> None:
    path = make_file(tmp_path / "x.flac", 20.0)
    whole_CT, _ = make.read(path)
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at : at + len(damage)] = damage
    path.write_bytes(data)
    decoded_CT, report = make.read(path, limits=make.LENIENT)
    assert decoded_CT.shape == whole_CT.shape
    assert report.num_gaps == 1 and 1000 < report.num_filled < 20_000
    different = np.flatnonzero((decoded_CT != whole_CT).any(axis=0))
    assert different[-1] - different[0] < report.num_filled  # what follows is in place
    with pytest.raises(MediaDamaged, match=r"max_error_share=0\.001"):
        make.read(path, limits=Limits(max_error_share=0.001))


@pytest.mark.parametrize("name", ["x.mp4", "x.mp3"])
@pytest.mark.parametrize("kind", ["empty", "zeros", "garbage", "text"])
def test_not_media_at_all(name: str, kind: str, tmp_path: Path) -> None:
    data = {
        "empty": b"",
        "zeros": bytes(100_000),
        "garbage": np.random.default_rng(5).bytes(100_000),
        "text": b"This is not a film. " * 1000,
    }[kind]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MediaError) as caught:
        make.read(tmp_path / name)
    check_line(caught.value)


def test_not_a_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.wav", Path("/dev/zero")):
        with pytest.raises(MediaUnreadable, match="not a regular file"):
            probe(path)


def test_no_audio(tmp_path: Path) -> None:
    with pytest.raises(NoAudio, match="video") as caught:
        probe(make.write_picture(tmp_path / "film.mp4", 0.2))
    assert caught.value.code == "no_audio"


def test_an_mp4_by_the_name_of_mp3(tmp_path: Path) -> None:
    signal_CT = make.make_noise(2, 9000, 16)
    path = make.write(tmp_path / "x.mov", signal_CT, "-c:a", "pcm_s16le", layout="stereo")
    renamed = path.rename(tmp_path / "x.mp3")
    np.testing.assert_array_equal(make.read(renamed)[0], signal_CT)


@pytest.mark.parametrize(
    ("where", "value", "error"),
    [
        (slice(24, 28), (10**9).to_bytes(4, "little"), LayoutUnsupported),  # rate
        (slice(24, 28), bytes(4), MediaError),
        (slice(22, 24), (65_535).to_bytes(2, "little"), MediaError),  # channels
        (slice(22, 24), bytes(2), MediaError),
    ],
)
def test_absurd_headers(
    where: slice, value: bytes, error: type[MediaError], tmp_path: Path
) -> None:
    path = make.write(tmp_path / "x.wav", make.make_noise(1, 5000, 16), "-fflags", "+bitexact")
    data = bytearray(path.read_bytes())
    data[where] = value
    path.write_bytes(data)
    with pytest.raises(error) as caught:
        make.read(path)
    check_line(caught.value)


def test_two_thousand_million_channels(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.caf", make.make_noise(1, 5000, 16), "-c:a", "pcm_s16be")
    data = bytearray(path.read_bytes())
    at = data.find(b"desc") + 12 + 24
    assert data[at : at + 4] == (1).to_bytes(4, "big")
    data[at : at + 4] = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        make.read(path)
    check_line(caught.value)


def test_a_claim_of_days(tmp_path: Path) -> None:
    """A small file that says it is long is short; a long one is stopped at the limit."""
    path = make.write(tmp_path / "x.wav", make.make_noise(1, 5000, 16), "-fflags", "+bitexact")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = (0x7FFF_0000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(MediaTruncated):
        make.read(path)
    with path.open("r+b") as file:
        file.truncate(0x7FFF_0000)  # zeros that take no room
    with pytest.raises(MediaTooLarge, match="max_duration_s=60"):
        make.read(path, limits=Limits(max_duration_s=60))


def test_a_gap_of_days(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    one = make.write(tmp_path / "1.wav", make.make_noise(1, 9000, 16), layout="mono")
    delay = ["-itsoffset", 90 * 3600, "-i", one]
    make.start("-i", one, *delay, "-map", 0, "-map", 1, "-c:a", "pcm_s16le", path)
    media = probe(path)
    with pytest.raises(MediaTooLarge, match="max_duration_s"):
        next(decode(path, media, media.tracks[1]))
