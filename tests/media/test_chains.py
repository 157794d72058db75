"""Test that files put together end to end are decoded as a whole, or refused with a way out."""

from pathlib import Path

import numpy as np
import pytest

from separator.errors import MediaUnreadable
from separator.media.chains import find_links
from tests.helpers import media_files as make

# Slow, but run by `make check`.
CHECKED = (pytest.mark.slow, pytest.mark.check)


def join(folder: Path, *parts: tuple[str, int, str], seconds: float = 0.5) -> Path:
    """Make a file of parts (name, rate, codec); each has a tone of its own."""
    data = b""
    for number, (name, rate_hz, codec) in enumerate(parts):
        tones_CT = make.make_tones(number + 1, int(seconds * rate_hz), rate_hz)[-1:]
        path = folder / f"{number}{name}"
        make.write(path, tones_CT, "-c:a", codec, rate_hz=rate_hz, layout="mono")
        data += path.read_bytes()
    whole = folder / parts[0][0]
    whole.write_bytes(data)
    return whole


def find_hz(signal_T: np.ndarray, rate_hz: int) -> float:
    return float(np.abs(np.fft.rfft(signal_T)).argmax() * rate_hz / len(signal_T))


@pytest.mark.parametrize("rate_hz", [22_050, pytest.param(44_100, marks=CHECKED)])
def test_decode_of_flac_after_flac_keeps_both(rate_hz: int, tmp_path: Path) -> None:
    path = join(tmp_path, ("x.flac", 44_100, "flac"), ("x.flac", rate_hz, "flac"))
    decoded_CT, decoding = make.read(path)
    parts = [make.read(tmp_path / f"{number}x.flac")[0] for number in (0, 1)]
    assert decoded_CT.shape[1] == 44_100
    np.testing.assert_array_equal(decoded_CT[:, :22_050], parts[0])
    if rate_hz == 44_100:
        np.testing.assert_array_equal(decoded_CT[:, 22_050:], parts[1])
    assert find_hz(decoded_CT[0, 22_050:], 44_100) == pytest.approx(300, abs=3)
    assert decoding.repairs.describe() == "2 files one after the other"


@pytest.mark.parametrize(
    "rate_hz", [48_000, *(pytest.param(hz, marks=CHECKED) for hz in (22_050, 44_100))]
)
def test_decode_of_chained_ogg_follows_a_new_rate(rate_hz: int, tmp_path: Path) -> None:
    path = join(tmp_path, ("x.ogg", 44_100, "libvorbis"), ("x.ogg", rate_hz, "libvorbis"))
    decoded_CT, decoding = make.read(path)
    assert decoded_CT.shape[1] == pytest.approx(44_100, abs=1500)  # padding of the first link
    assert find_hz(decoded_CT[0, 1000:20_000], 44_100) == pytest.approx(150, abs=3)
    assert find_hz(decoded_CT[0, -20_000:-1000], 44_100) == pytest.approx(300, abs=3)
    assert decoding.repairs.describe() == "2 files one after the other"


def test_decode_of_chained_ogg_with_pictures_keeps_both(tmp_path: Path) -> None:
    part, path = tmp_path / "part.ogv", tmp_path / "x.ogv"
    sound = make.write(tmp_path / "x.wav", make.make_tones(1, make.HZ), layout="mono")
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=1"]
    make.start(*picture, "-i", sound, "-c:v", "libtheora", "-c:a", "libvorbis", part)
    path.write_bytes(2 * part.read_bytes())
    once_CT, _ = make.read(part)
    twice_CT, decoding = make.read(path)
    assert decoding.repairs.describe() == "2 files one after the other"
    np.testing.assert_array_equal(twice_CT[:, : once_CT.shape[1]], once_CT)
    assert twice_CT.shape[1] == pytest.approx(2 * make.HZ, abs=1500)


def test_decode_refuses_what_would_be_lost_behind_the_first_link(tmp_path: Path) -> None:
    mixed = join(tmp_path, ("x.ogg", 48_000, "libopus"), ("x.ogg", 48_000, "libvorbis"))
    with pytest.raises(MediaUnreadable, match="link 2 of 2 holds vorbis after opus"):
        make.read(mixed)
    wavs = join(tmp_path, ("x.wav", 8_000, "pcm_u8"), ("x.wav", 8_000, "pcm_u8"))
    end = (tmp_path / "0x.wav").stat().st_size
    with pytest.raises(MediaUnreadable, match=f"a second wav follows at byte {end:,}"):
        make.read(wavs)


@pytest.mark.parametrize("before", [0, 400, (1 << 20) - 7, (1 << 20) - 200])
def test_find_links_finds_starts_wherever_reads_are_cut(before: int, tmp_path: Path) -> None:
    start = b"fLaC\0\0\0\x22"
    path = tmp_path / "x.flac"
    path.write_bytes(start + bytes(before) + start + bytes(100))
    assert find_links(path, "flac") == [(0, before + 8), (before + 8, before + 116)]
    path.write_bytes(bytes(before) + start)
    assert find_links(path, "flac") == []
