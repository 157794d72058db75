"""Test that damaged files raise typed errors of one line, and that repairs are reported."""

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
from separator.media.timeline import Repairs
from tests.helpers import media_files as make

# Slow, but run by `make check`.
CHECKED = (pytest.mark.slow, pytest.mark.check)
NAMES = ["x.wav", "x.flac", "x.m4a", "x.mp3", "x.mkv", "x.ogg", "x.wma", "x.avi", "x.ts", "x.mov"]
# Cut, these end like a file that was always this short: their headers do not state a length.
SHORTENED = {"x.ogg", "x.wma", "x.ts"}


def check_line(error: MediaError) -> None:
    text = str(error)
    assert "\n" not in text and len(text) < 800 and text.startswith("'")
    assert "@ 0x" not in text and "/tmp" not in text, text  # the same on every run
    assert error.code != "bad_media"


@pytest.mark.parametrize(
    ("name", "share"),
    [("x.ogg", 0.5), ("x.wma", 0.5), ("x.ts", 0.5)]
    + [pytest.param(name, share, marks=CHECKED) for name in NAMES for share in (0.1, 0.9)],
)
def test_decode_of_truncated_file_fails_or_is_shorter(
    name: str, share: float, tmp_path: Path
) -> None:
    path = make.write_usual(tmp_path / name)
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


def test_a_gap_in_the_times_of_flac_is_no_damage(tmp_path: Path) -> None:
    """Outside of bare flac each packet is a frame, which the decoder checks itself."""
    parts = [tmp_path / "0.mka", tmp_path / "1.mka"]
    tones_CT = make.make_tones(1, 4 * make.HZ)
    for number, part in enumerate(parts):
        signal_CT = tones_CT[:, 2 * make.HZ * number :][:, : 2 * make.HZ]
        shift = ["-output_ts_offset", 2.3 * number]
        make.write(part, signal_CT, "-c:a", "flac", *shift, layout="mono")
    listed = tmp_path / "parts.txt"
    entries = [f"file '{parts[0]}'\nduration 2.3\n", f"file '{parts[1]}'\n"]
    listed.write_text("".join(entries))
    path = tmp_path / "x.mka"
    make.start("-f", "concat", "-safe", 0, "-i", listed, "-c", "copy", path)
    whole_CT, decoding = make.read(path)
    assert whole_CT.shape[1] == pytest.approx(4.3 * make.HZ, abs=100)
    assert decoding.repairs.describe() == "1 gap filled (0.30 s)"


def test_repairs_report_a_slightly_early_end(tmp_path: Path) -> None:
    path = make.write_usual(tmp_path / "x.wav", 4.0)
    path.write_bytes(path.read_bytes()[: -2 * 9600])
    _, decoding = make.read(path)
    assert decoding.repairs.num_missing == pytest.approx(9600, abs=5)  # lengths in microseconds
    assert decoding.repairs.describe() == "ends 0.20 s early"


@pytest.mark.parametrize("num_bytes", [-1, 1, 3])
def test_decode_of_wav_ignores_a_piece_of_a_sample_at_its_end(
    num_bytes: int, tmp_path: Path
) -> None:
    """As a recorder leaves it that died, or one that counts a stray byte as sound."""
    path = make.write(tmp_path / "x.wav", make.make_noise(2, 9000, 16), "-fflags", "+bitexact")
    whole_CT, _ = make.read(path)
    data = path.read_bytes()
    sizes = [(size + num_bytes).to_bytes(4, "little") for size in (len(data) - 8, len(data) - 44)]
    data = data[:4] + sizes[0] + data[8:40] + sizes[1] + data[44:]
    path.write_bytes(data + b"UUU"[:num_bytes] if num_bytes > 0 else data[:num_bytes])
    decoded_CT, decoding = make.read(path)
    np.testing.assert_array_equal(decoded_CT, whole_CT[:, : 9000 - (num_bytes < 0)])
    assert decoding.repairs.describe().startswith("ffmpeg reports: [pcm_s16le] Invalid PCM packet")


def test_repairs_report_a_lost_end_that_only_ffmpeg_saw(tmp_path: Path) -> None:
    """An ogg does not state its length: only ffmpeg's words tell that its last page is lost."""
    path = make.write_usual(tmp_path / "x.ogg", 2.0)
    whole_CT, _ = make.read(path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    decoded_CT, decoding = make.read(path)
    assert decoded_CT.shape[1] < whole_CT.shape[1]
    assert decoding.repairs.describe().startswith("ffmpeg reports: [ogg] CRC mismatch!")


def test_repairs_describe_lists_all_repairs() -> None:
    repairs = Repairs(48_000, num_gaps=3, num_filled=5760, num_dropped=512)
    assert repairs.describe() == "3 gaps filled (0.12 s); 512 samples dropped"


def test_probe_of_mp4_without_index_is_unreadable(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.m4a", make.make_tones(1, 48_000), layout="mono")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaUnreadable, match="moov") as caught:
        probe(path)
    check_line(caught.value)


@pytest.mark.parametrize("name", ["x.flac", "x.m4a", "x.mp3", "x.mkv"])
def test_decode_raises_for_garbage_in_second_half(name: str, tmp_path: Path) -> None:
    path = make.write_usual(tmp_path / name)
    data = path.read_bytes()
    # The index of an mp4 stands first here: only sound is overwritten.
    garbage = np.random.default_rng(3).bytes(len(data) // 2)
    path.write_bytes(data[: len(data) - len(garbage)] + garbage)
    with pytest.raises((MediaTruncated, MediaDamaged)) as caught:
        make.read(path)
    check_line(caught.value)


@pytest.mark.parametrize("damage", [bytes(50), b"\x55"], ids=["zeros", "one byte"])
def test_decode_replaces_damage_by_silence(damage: bytes, tmp_path: Path) -> None:
    path = make.write_usual(tmp_path / "x.flac", 10.0)
    whole_CT, _ = make.read(path)
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at : at + len(damage)] = damage
    path.write_bytes(data)
    decoded_CT, decoding = make.read(path, limits=make.LENIENT)
    repairs = decoding.repairs
    assert decoded_CT.shape == whole_CT.shape
    assert repairs.num_gaps == 1 and 1000 < repairs.num_filled < 20_000
    assert repairs.describe() == f"1 gap filled ({repairs.num_filled / make.HZ:.2f} s)"
    different = np.flatnonzero((decoded_CT != whole_CT).any(axis=0))
    assert different[-1] - different[0] < repairs.num_filled  # what follows is in place
    with pytest.raises(MediaDamaged, match=r"max_error_share=0\.001"):
        make.read(path, limits=Limits(max_error_share=0.001))


@pytest.mark.parametrize("name", ["x.mp4"])
@pytest.mark.parametrize("kind", ["empty", "zeros", "garbage", "text"])
def test_decode_of_other_files_raises_typed_error(name: str, kind: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("suffix", ["flac", "mp4", "aac", "ogg"])
def test_probe_of_an_empty_file_says_that_it_is_empty(suffix: str, tmp_path: Path) -> None:
    """libav takes an empty flac for one without a rate, and misses other things elsewhere."""
    path = tmp_path / f"x.{suffix}"
    path.touch()
    with pytest.raises(MediaUnreadable, match=r"is empty \(0 bytes\)"):
        probe(path)


def test_probe_of_folders_and_devices_is_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(MediaUnreadable, match="not a regular file"):
            probe(path)
    with pytest.raises(MediaUnreadable, match="there is no such file"):
        probe(tmp_path / "absent.wav")


def test_probe_without_audio_raises_no_audio(tmp_path: Path) -> None:
    with pytest.raises(NoAudio, match="video") as caught:
        probe(make.write_picture(tmp_path / "film.mp4", 0.2))
    assert caught.value.code == "no_audio"


def test_decode_ignores_wrong_suffix(tmp_path: Path) -> None:
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
def test_decode_of_absurd_wav_header_raises_typed_error(
    where: slice, value: bytes, error: type[MediaError], tmp_path: Path
) -> None:
    path = make.write(tmp_path / "x.wav", make.make_noise(1, 5000, 16), "-fflags", "+bitexact")
    data = bytearray(path.read_bytes())
    data[where] = value
    path.write_bytes(data)
    with pytest.raises(error) as caught:
        make.read(path)
    check_line(caught.value)


def test_decode_of_two_billion_channels_raises_typed_error(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.caf", make.make_noise(1, 5000, 16), "-c:a", "pcm_s16be")
    data = bytearray(path.read_bytes())
    at = data.find(b"desc") + 12 + 24
    assert data[at : at + 4] == (1).to_bytes(4, "big")
    data[at : at + 4] = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        make.read(path)
    check_line(caught.value)


def test_decode_checks_stated_and_real_length(tmp_path: Path) -> None:
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


def test_decode_raises_damaged_for_a_gap_beyond_the_stated_end(tmp_path: Path) -> None:
    """A few flipped bits in a time must not become hours of silence."""
    cut = ("-c:a", "libopus", "-cluster_time_limit", 500)
    path = make.write(tmp_path / "x.mka", make.make_tones(1, 2 * make.HZ), *cut, layout="mono")
    data = path.read_bytes()
    at = data.index(b"\xe7\x82\x03")  # the time of the cluster after 0.768 s
    path.write_bytes(data[: at + 2] + b"\xff" + data[at + 3 :])
    with pytest.raises(MediaDamaged, match=r"a gap of 6\d s .* 2\.\d+ s that the file states"):
        make.read(path)


def test_decode_of_gap_of_days_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    one = make.write(tmp_path / "1.wav", make.make_noise(1, 9000, 16), layout="mono")
    delay = ["-itsoffset", 90 * 3600, "-i", one]
    make.start("-i", one, *delay, "-map", 0, "-map", 1, "-c:a", "pcm_s16le", path)
    media = probe(path)
    with pytest.raises(MediaTooLarge, match="max_duration_s"):
        next(decode(path, media, media.tracks[1]))


@pytest.mark.parametrize("suffix", [".tta", ".wv", ".flac"])
def test_frames_with_a_wrong_checksum_are_silence_and_told(suffix: str, tmp_path: Path) -> None:
    path = make.write(tmp_path / f"x{suffix}", make.make_tones(2, 8 * make.HZ), layout="stereo")
    whole_CT, _ = make.read(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2] = bytes(255 - byte for byte in data[middle : middle + 2])
    path.write_bytes(data)
    found_CT, decoding = make.read(path, limits=Limits(max_error_share=0.9))
    assert decoding.repairs.describe()
    different_CT = found_CT[:, : whole_CT.shape[1]] != whole_CT[:, : found_CT.shape[1]]
    assert not found_CT[:, : whole_CT.shape[1]][different_CT].any(), "damage is heard"
