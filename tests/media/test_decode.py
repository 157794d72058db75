"""Test that decoded samples are the stored ones, bit by bit and in order."""

from pathlib import Path

import numpy as np
import pytest

from separator.errors import LayoutUnsupported
from separator.media.decode import decode, output_rate
from separator.media.probe import probe
from separator.media.timeline import Repairs
from tests.helpers import media_files as make

# Slow, but run by `make check`.
CHECKED = (pytest.mark.slow, pytest.mark.check)
EXACT = [
    # (name, bits of the signal, options)
    ("u8.wav", 8, ["-c:a", "pcm_u8"]),
    ("s24.wav", 24, ["-c:a", "pcm_s24le"]),
    pytest.param("s32.wav", 24, ["-c:a", "pcm_s32le"], marks=CHECKED),
    ("f32.wav", 24, ["-c:a", "pcm_f32le"]),
    pytest.param("f64.wav", 24, ["-c:a", "pcm_f64le"], marks=CHECKED),
    ("rf64.wav", 16, ["-c:a", "pcm_s16le", "-rf64", "always"]),
    ("x.w64", 24, ["-c:a", "pcm_s32le"]),  # ffmpeg rounds its length up to 8 bytes
    pytest.param("be.aiff", 24, ["-c:a", "pcm_s24be"], marks=CHECKED),
    pytest.param("f64be.caf", 24, ["-c:a", "pcm_f64be"], marks=CHECKED),
    pytest.param("x.au", 16, ["-c:a", "pcm_s16be"], marks=CHECKED),
    ("x16.flac", 16, ["-sample_fmt", "s16"]),
    ("x24.flac", 24, ["-sample_fmt", "s32"]),
    pytest.param(
        "flac.oga", 16, ["-c:a", "flac", "-sample_fmt", "s16", "-f", "ogg"], marks=CHECKED
    ),
    pytest.param("alac16.m4a", 16, ["-c:a", "alac", "-sample_fmt", "s16p"], marks=CHECKED),
    ("alac24.m4a", 24, ["-c:a", "alac", "-sample_fmt", "s32p"]),
    pytest.param("x.wv", 24, ["-sample_fmt", "s32p", "-c:a", "wavpack"], marks=CHECKED),
    pytest.param("x.tta", 24, ["-sample_fmt", "s32"], marks=CHECKED),
    ("pcm.mov", 24, ["-c:a", "pcm_s24le"]),
    pytest.param("pcm.mkv", 24, ["-c:a", "pcm_s24le"], marks=CHECKED),
    ("flac.mkv", 24, ["-c:a", "flac", "-sample_fmt", "s32"]),
    pytest.param(
        "flac.mp4",
        24,
        ["-c:a", "flac", "-sample_fmt", "s32", "-strict", "-2"],
        marks=CHECKED,
    ),
    ("pcm.avi", 16, ["-c:a", "pcm_s16le"]),
    pytest.param("pcm.nut", 16, ["-c:a", "pcm_s16le"], marks=CHECKED),
]


@pytest.mark.parametrize(("name", "bits", "options"), EXACT)
def test_decode_of_lossless_formats_is_exact(
    name: str, bits: int, options: list, tmp_path: Path
) -> None:
    signal_CT = make.make_noise(2, 20_011, bits)
    path = make.write(tmp_path / name, signal_CT, *options, layout="stereo")
    decoded_CT, decoding = make.read(path)
    np.testing.assert_array_equal(decoded_CT, signal_CT)
    assert decoded_CT.dtype == np.float32
    assert decoding.repairs == Repairs(make.HZ) and decoding.num_before == 0
    assert decoding.repairs.describe() == ""


def test_decode_rounds_float64_once(tmp_path: Path) -> None:
    signal_CT = np.random.default_rng(1).uniform(-1, 1, (1, 5000))
    path = tmp_path / "x.wav"
    data = signal_CT.T.astype("<f8").tobytes()
    raw = ("-f", "f64le", "-ar", 48000, "-ac", 1, "-i", "pipe:0")
    make.start(*raw, "-c:a", "pcm_f64le", path, stdin=data)
    np.testing.assert_array_equal(make.read(path)[0], signal_CT.astype(np.float32))
    loud_CT = make.make_noise(1, 100) * np.float32(7)  # floats beyond full scale survive
    loud = make.write(tmp_path / "loud.wav", loud_CT, "-c:a", "pcm_f32le", layout="mono")
    np.testing.assert_array_equal(make.read(loud)[0], loud_CT)


@pytest.mark.parametrize("rate_hz", [8000, 192_000])
def test_decode_keeps_native_rate(rate_hz: int, tmp_path: Path) -> None:
    signal_CT = make.make_noise(1, 9999, 16)
    path = make.write(tmp_path / "x.wav", signal_CT, rate_hz=rate_hz)
    assert probe(path).tracks[0].rate_hz == rate_hz
    np.testing.assert_array_equal(make.read(path)[0], signal_CT)


def test_decode_resamples_rate_off_the_grid(tmp_path: Path) -> None:
    times_s = np.arange(44_056) / 44_056
    tone = (0.5 * np.sin(2 * np.pi * 1000 * times_s))[None]
    path = make.write(tmp_path / "x.wav", tone, "-c:a", "pcm_f32le", rate_hz=44_056)
    track = probe(path).tracks[0]
    assert (track.rate_hz, output_rate(track)) == (44_056, 44_100)
    decoded_CT, decoding = make.read(path)
    assert abs(decoded_CT.shape[1] - 44_100) <= 1
    assert decoding.repairs == Repairs(44_100) and decoding.num_before == 0
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100)
    np.testing.assert_allclose(decoded_CT[0, 200:43_800], expected[200:43_800], atol=1e-4)


LAYOUTS = ["quad", "5.1(side)", "7.1"]
ATMOS = "FL+FR+FC+LFE+BL+BR+SL+SR+TFL+TFR+TBL+TBR"


@pytest.mark.parametrize("layout", [*LAYOUTS, ATMOS])
def test_decode_keeps_order_of_channels(layout: str, tmp_path: Path) -> None:
    counts = {"quad": 4, ATMOS: 12}
    count = counts.get(layout) or sum(map(int, layout[:3].split(".")))
    signal_CT = make.make_noise(count, 3000)
    path = make.write(tmp_path / "x.wav", signal_CT, "-c:a", "pcm_s24le", layout=layout)
    track = probe(path).tracks[0]
    assert track.num_channels == count
    assert layout in (track.layout or "")
    np.testing.assert_array_equal(make.read(path)[0], signal_CT)


@pytest.mark.parametrize("count", [16])
def test_decode_does_not_mix_channels_without_layout(count: int, tmp_path: Path) -> None:
    signal_CT = make.make_noise(count, 3000)
    options = ["-c:a", "pcm_s24le"]
    path = make.write(tmp_path / "x.caf", signal_CT, *options, before=("-guess_layout_max", 0))
    np.testing.assert_array_equal(make.read(path)[0], signal_CT)


@pytest.mark.parametrize("name", ["x.m4a", "x.ogg", pytest.param("x.ac3", marks=CHECKED)])
def test_decode_keeps_order_of_channels_in_lossy_codecs(name: str, tmp_path: Path) -> None:
    signal_CT = make.make_tones(6, 48_000)
    codec = ["-c:a", "libopus"] if "ogg" in name else []
    path = make.write(tmp_path / name, signal_CT, *codec, "-b:a", "448k", layout="5.1")
    decoded_CT, _ = make.read(path)
    loudest = np.argmax(np.abs(np.fft.rfft(decoded_CT[:, 4800:43_200], axis=1)), axis=1)
    step_hz = 48_000 / 38_400
    expected = [150 * (1 + channel) / step_hz for channel in range(6)]
    # The fourth is the low-frequency channel: lossy codecs leave little above 120 Hz in it.
    kept = [0, 1, 2, 4, 5]
    np.testing.assert_allclose(loudest[kept], np.array(expected)[kept], atol=1)


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
@pytest.mark.parametrize("num_samples", [0, 1])
def test_decode_of_no_and_one_sample(num_samples: int, name: str, tmp_path: Path) -> None:
    signal_CT = make.make_noise(2, num_samples, 16)
    path = make.write(tmp_path / name, signal_CT, "-sample_fmt", "s16", layout="stereo")
    decoded_CT, decoding = make.read(path)
    np.testing.assert_array_equal(decoded_CT, signal_CT)
    assert decoding.repairs == Repairs(make.HZ)


@pytest.mark.parametrize("block_samples", [1, 1000])
def test_decode_yields_blocks_of_one_length(block_samples: int, tmp_path: Path) -> None:
    signal_CT = make.make_noise(2, 3000, 16)
    path = make.write(tmp_path / "x.wav", signal_CT, layout="stereo")
    media = probe(path)
    blocks = list(decode(path, media, media.tracks[0], block_samples=block_samples))
    assert all(block.shape[1] == block_samples for block in blocks[:-1])
    assert len(blocks) == -(-3000 // block_samples)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), signal_CT)


def test_decode_selects_the_track(tmp_path: Path) -> None:
    paths = [
        make.write(tmp_path / f"{i}.wav", make.make_noise(i + 1, 8000, 16, seed=i), layout=layout)
        for i, layout in enumerate(["mono", "stereo"])
    ]
    inputs = [
        "-i",
        make.write_picture(tmp_path / "film.mp4"),
        "-i",
        paths[0],
        "-i",
        paths[1],
    ]
    maps = ["-map", "1", "-map", "0", "-map", "2", "-c:v", "copy", "-c:a", "pcm_s16le"]
    for name in ("x.mkv",):
        make.start(*inputs, *maps, tmp_path / name)
        media = probe(tmp_path / name)
        assert [track.stream_index for track in media.tracks] == [0, 2]
        for index in range(2):
            expected = make.make_noise(index + 1, 8000, 16, seed=index)
            np.testing.assert_array_equal(make.read(tmp_path / name, index)[0], expected)


def test_decode_converts_stream_that_changes_format(tmp_path: Path) -> None:
    first = make.write(tmp_path / "1.aac", make.make_tones(2, 48_000), layout="stereo")
    tone_CT = make.make_tones(1, 44_100, 44_100)
    second = make.write(tmp_path / "2.aac", tone_CT, rate_hz=44_100, layout="mono")
    path = tmp_path / "x.aac"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    track = probe(path).tracks[0]
    decoded_CT, _ = make.read(path)
    assert (track.rate_hz, decoded_CT.shape[0]) == (48_000, 2)
    alone_CT, _ = make.read(first)
    np.testing.assert_array_equal(decoded_CT[:, : alone_CT.shape[1]], alone_CT)
    # The second part plays at the rate of the first, at its own speed and pitch.
    assert abs(decoded_CT.shape[1] / 48_000 - 2.07) < 0.02
    later = decoded_CT[0, 60_000:90_000]
    loudest = np.argmax(np.abs(np.fft.rfft(later * np.hanning(len(later))))) * 48_000 / 30_000
    assert abs(loudest - 150) < 3


def test_a_transport_stream_that_changes_its_rate_has_no_gaps(tmp_path: Path) -> None:
    """libav counts the times within its packets by the rate before the change."""
    parts = [
        make.write(tmp_path / f"{rate_hz}.aac", tone_CT, rate_hz=rate_hz, layout="mono")
        for rate_hz, tone_CT in (
            (44_100, make.make_tones(1, 3 * 44_100, 44_100)),
            (48_000, make.make_tones(1, 3 * 48_000, 48_000)),
        )
    ]
    for part in parts:
        make.start("-i", part, "-c", "copy", part.with_suffix(".ts"))
    path = tmp_path / "x.ts"
    joined = "|".join(str(part.with_suffix(".ts")) for part in parts)
    make.start("-i", f"concat:{joined}", "-c", "copy", path)
    decoded_CT, decoding = make.read(path)
    assert probe(path).tracks[0].rate_hz == 44_100
    assert decoding.repairs.num_gaps == 0 and decoding.repairs.num_dropped == 0
    assert abs(decoded_CT.shape[1] / 44_100 - 6.1) < 0.1


def test_decode_refuses_absurd_rate(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.wav", make.make_noise(1, 100, 16))
    header = bytearray(path.read_bytes())
    header[24:28] = (10**9).to_bytes(4, "little")
    path.write_bytes(header)
    media = probe(path)
    with pytest.raises(LayoutUnsupported, match="rate_hz=1000000000") as caught:
        next(decode(path, media, media.tracks[0]))
    assert caught.value.code == "layout_unsupported"
