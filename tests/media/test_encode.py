"""Test written files against ffprobe and numpy's own arithmetic."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from separator.audio.format import AudioFormat
from separator.errors import (
    ClippedError,
    EncoderFailed,
    LayoutUnsupported,
    NonFiniteAudio,
    RequestError,
)
from separator.media.decode import decode
from separator.media.encode import EncodeReport, encode
from separator.media.encode_settings import EncodeSettings, Tags
from separator.media.probe import probe
from separator.media.quantise import quantise
from tests.helpers import media_files as make

LOSSLESS = [("wav", 16), ("wav", 24), ("wav", 32), ("flac", 16), ("flac", 24)]
LOSSY = ["ogg", "mp3", "m4a"]
HZ = make.HZ
MONO = AudioFormat(HZ, 1)


def cut(signal_CT: np.ndarray, step: int = 7000) -> list[np.ndarray]:
    edges = [*range(0, signal_CT.shape[1], step), signal_CT.shape[1]]
    return [signal_CT[:, a:b] for a, b in pairwise(edges)]


def save(path: Path, signal_CT: np.ndarray, **options: object) -> EncodeReport:
    settings = EncodeSettings(**options)  # type: ignore[arg-type]
    return encode(cut(signal_CT), path, AudioFormat(HZ, len(signal_CT)), settings=settings)


@pytest.mark.parametrize(("form", "bits"), LOSSLESS)
def test_encode_to_lossless_formats_is_exact(form: str, bits: int, tmp_path: Path) -> None:
    signal_CT = make.make_noise(2, 50_001, min(bits, 24))
    path = tmp_path / f"x.{form}"
    report = save(path, signal_CT, format=form, bit_depth=bits)
    peak = float(np.abs(signal_CT).max())
    assert report == EncodeReport(num_samples=50_001, num_clipped=0, gain=1.0, peak=peak)
    again_CT, _ = make.read(path)
    np.testing.assert_array_equal(again_CT, signal_CT)
    (stream,) = make.ask(path)["streams"]
    depth = stream.get("bits_per_raw_sample") or stream["bits_per_sample"]
    assert (int(depth), stream["channels"], stream["sample_rate"]) == (bits, 2, "48000")


def test_encode_accepts_blocks_from_decode(tmp_path: Path) -> None:
    form = "flac"
    signal_CT = make.make_noise(6, 30_000)
    source = make.write(tmp_path / "in.wav", signal_CT, "-c:a", "pcm_s24le", layout="5.1(side)")
    media = probe(source)
    (track,) = media.tracks
    blocks = decode(source, media, track)
    audio_format = AudioFormat(HZ, 6, track.layout)
    encode(blocks, tmp_path / f"x.{form}", audio_format, settings=EncodeSettings(form, 24))
    assert probe(tmp_path / f"x.{form}").tracks[0].layout == "5.1(side)"
    np.testing.assert_array_equal(make.read(tmp_path / f"x.{form}")[0], signal_CT)


@pytest.mark.parametrize(("form", "bits"), [("wav", 16), ("flac", 24)])
def test_encode_clips_and_counts_loud_samples(form: str, bits: int, tmp_path: Path) -> None:
    signal_CT = make.make_noise(2, 20_000) * np.float32(3)
    report = save(tmp_path / "x", signal_CT, format=form, bit_depth=bits)
    steps = 2.0 ** (bits - 1)
    exact = signal_CT.astype(np.float64) * steps
    expected = np.clip(np.rint(exact), -steps, steps - 1)
    assert report.num_clipped == np.count_nonzero(np.rint(exact) != expected) > 20_000
    assert report.peak == pytest.approx(3.0, rel=1e-3)
    np.testing.assert_array_equal(make.read(tmp_path / "x")[0] * steps, expected)


def test_encode_float_wav_does_not_clip(tmp_path: Path) -> None:
    signal_CT = make.make_noise(1, 5000) * np.float32(3)
    assert save(tmp_path / "x", signal_CT, format="wav", bit_depth=32).num_clipped == 0
    np.testing.assert_array_equal(make.read(tmp_path / "x")[0], signal_CT)


@pytest.mark.parametrize("dither", ["none", "triangular"])
@pytest.mark.parametrize(("form", "bits"), [("flac", 16), ("ogg", 24)])
def test_encode_scale_leaves_nothing_to_clip(
    form: str, bits: int, dither: str, tmp_path: Path
) -> None:
    signal_CT = make.make_noise(2, 20_000) * np.float32(3)
    options = {"format": form, "bit_depth": bits, "dither": dither, "clip": "scale"}
    report = save(tmp_path / "x", signal_CT, **options)
    assert report.num_clipped == 0 and report.num_samples == 20_000
    assert report.gain == pytest.approx(1 / report.peak, rel=2e-4)
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]
    if form != "ogg":
        decoded_CT, _ = make.read(tmp_path / "x")
        np.testing.assert_allclose(decoded_CT, signal_CT * report.gain, atol=4 / 2.0 ** (bits - 1))
        assert np.abs(decoded_CT).max() > 0.999


def test_encode_scale_with_known_peak_gives_same_file(tmp_path: Path) -> None:
    signal_CT = make.make_noise(1, 20_000) * np.float32(2)
    settings = EncodeSettings("flac", 24, clip="scale")
    peak = float(np.abs(signal_CT).max())
    one = encode(cut(signal_CT), tmp_path / "1", MONO, settings=settings, peak=peak)
    two = encode(cut(signal_CT), tmp_path / "2", MONO, settings=settings)
    assert one == two
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_encode_scale_does_not_change_quiet_tracks(tmp_path: Path) -> None:
    signal_CT = make.make_noise(1, 5000) * np.float32(0.5)
    assert save(tmp_path / "x", signal_CT, clip="scale").gain == 1.0


def test_encode_error_policy_leaves_no_file(tmp_path: Path) -> None:
    signal_CT = make.make_noise(1, 20_000) * np.float32(0.9)
    save(tmp_path / "x", signal_CT, clip="error")
    signal_CT[0, 15_000] = 1.5
    with pytest.raises(ClippedError, match=r"1 samples.*peak 1\.5") as caught:
        save(tmp_path / "y", signal_CT, clip="error")
    assert caught.value.code == "clipped"
    assert not (tmp_path / "y").exists()


def test_encode_refuses_non_finite_samples(tmp_path: Path) -> None:
    for bad in (np.nan, np.inf):
        signal_CT = make.make_noise(1, 20_000)
        signal_CT[0, 12_345] = bad
        with pytest.raises(NonFiniteAudio):
            save(tmp_path / "x", signal_CT)
    assert list(tmp_path.iterdir()) == []


def test_dither_makes_error_independent_of_signal() -> None:
    tone_CT = (2.4 / 32_768 * np.sin(np.arange(200_000) * 0.05))[None].astype(np.float32)
    plain = np.concatenate([x for x, _ in quantise([tone_CT], 16)])[:, 0]
    dithered = np.concatenate([x for x, _ in quantise([tone_CT], 16, dither="triangular")])[:, 0]
    exact = tone_CT[0].astype(np.float64) * 32_768

    def measure_third_harmonic(samples: np.ndarray) -> float:
        wave = np.exp(-3j * 0.05 * np.arange(len(samples)))
        return abs(np.mean((samples - exact) * wave))

    assert measure_third_harmonic(dithered) < 0.05 * measure_third_harmonic(plain)
    assert np.std(dithered - exact) == pytest.approx(0.5, rel=0.05)  # triangular: 1/2 step rms


@pytest.mark.parametrize("dither", ["none", "triangular"])
def test_quantise_does_not_depend_on_block_sizes(dither: str) -> None:
    signal_CT = make.make_noise(2, 10_000)
    runs = [
        np.concatenate([x for x, _ in quantise(cut(signal_CT, step), 16, 0.7, dither)])
        for step in (10_000, 999, 1)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])


@pytest.mark.parametrize("form", LOSSY)
def test_encode_to_lossy_formats_keeps_length_and_alignment(form: str, tmp_path: Path) -> None:
    clicks = [5000, 40_000, 90_000]
    signal_CT = make.make_clicks(clicks, 100_003)
    report = save(tmp_path / f"x.{form}", signal_CT, format=form)
    assert report.num_samples == 100_003
    decoded_CT, _ = make.read(tmp_path / f"x.{form}")
    assert decoded_CT.shape == (1, 100_003)
    assert [make.find_click(decoded_CT, at) for at in clicks] == clicks


@pytest.mark.parametrize("form", LOSSY)
def test_encode_to_lossy_formats_clips_and_counts(form: str, tmp_path: Path) -> None:
    signal_CT = make.make_tones(1, 48_000) * np.float32(5)
    report = save(tmp_path / "x", signal_CT, format=form)
    assert report.num_clipped == np.count_nonzero(np.abs(signal_CT) > 1) > 1000


def test_encode_resamples_to_rates_of_lossy_formats(tmp_path: Path) -> None:
    signal_CT = make.make_tones(2, 96_000, 96_000)
    for form, expected in (("ogg", 48_000), ("m4a", 96_000)):
        audio_format = AudioFormat(96_000, 2)
        encode([signal_CT], tmp_path / form, audio_format, settings=EncodeSettings(form))
        track = probe(tmp_path / form).tracks[0]
        assert track.rate_hz == expected
        assert make.read(tmp_path / form)[0].shape[1] == expected


def test_encode_obeys_bitrate(tmp_path: Path) -> None:
    noise_CT = make.make_noise(2, 2 * HZ) * np.float32(0.3)
    for form in LOSSY:
        sizes = [
            (save(tmp_path / "x", noise_CT, format=form, bitrate_bps=bps), tmp_path / "x")[1]
            .stat()
            .st_size
            for bps in (64_000, 192_000)
        ]
        assert sizes[1] > 2 * sizes[0], form


@pytest.mark.parametrize("form", ["wav", "flac", *LOSSY])
def test_encode_writes_tags_and_equal_bytes(form: str, tmp_path: Path) -> None:
    tags = Tags(title="a siren é = 'x'", source="news/é.mp4 #1", license="CC BY 4.0")
    signal_CT = make.make_noise(1, 20_000)
    for name in ("a", "b"):
        settings = EncodeSettings(form)
        encode([signal_CT], tmp_path / name, MONO, settings=settings, tags=tags)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    answer = make.ask(tmp_path / "a", "-show_format", "-show_streams")
    found = {**answer["streams"][0].get("tags", {}), **answer["format"].get("tags", {})}
    found = {key.lower(): value for key, value in found.items()}
    assert found["title"] == tags.title
    assert found["comment"] == tags.source
    assert found["copyright"] == tags.license


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_encode_of_no_samples_to_lossless_formats(form: str, tmp_path: Path) -> None:
    report = encode([], tmp_path / "x", AudioFormat(HZ, 2), settings=EncodeSettings(form))
    assert report.num_samples == 0
    assert make.read(tmp_path / "x")[0].shape == (2, 0)


@pytest.mark.parametrize("form", ["ogg", "mp3"])
def test_encode_of_samples_that_resample_to_none_fails(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{form}"
    samples_CT = np.ones((1, 3), np.float32)
    with pytest.raises(EncoderFailed, match="cannot hold 3 samples at 96000 Hz"):
        encode([samples_CT], path, AudioFormat(96_000, 1), settings=EncodeSettings(form))
    assert not path.exists()


@pytest.mark.parametrize("form", LOSSY)
def test_encode_of_no_samples_to_lossy_formats_fails(form: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderFailed, match="x"):
        encode([], tmp_path / "x", AudioFormat(HZ, 2), settings=EncodeSettings(form))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("form", ["ogg", "m4a"])
def test_encode_keeps_order_of_channels_in_lossy_formats(form: str, tmp_path: Path) -> None:
    signal_CT = make.make_tones(6, HZ)
    audio_format = AudioFormat(HZ, 6, "5.1(side)")
    encode([signal_CT], tmp_path / "x", audio_format, settings=EncodeSettings(form))
    decoded_CT, _ = make.read(tmp_path / "x")
    for channel in (0, 1, 2, 4, 5):
        likeness = [np.dot(decoded_CT[channel], original) for original in signal_CT]
        assert int(np.argmax(likeness)) == channel


def test_encode_refuses_unsupported_channel_counts(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("here before")
    for form, count in (("flac", 9), ("mp3", 3), ("ogg", 9), ("m4a", 12)):
        with pytest.raises(LayoutUnsupported, match="choose wav"):
            encode([], tmp_path / "x", AudioFormat(HZ, count), settings=EncodeSettings(form))
    assert (tmp_path / "x").read_text() == "here before"
    signal_CT = make.make_noise(12, 5000)
    save(tmp_path / "x.wav", signal_CT, format="wav", bit_depth=24)
    np.testing.assert_array_equal(make.read(tmp_path / "x.wav")[0], signal_CT)


@pytest.mark.parametrize(
    "options",
    [{"format": "aiff"}, {"bit_depth": 20}, {"format": "flac", "bit_depth": 32},
     {"clip": "wrap"}, {"dither": "some"}],
)  # fmt: skip
def test_encode_settings_are_checked(options: dict) -> None:
    with pytest.raises(RequestError, match=r"one of|has"):
        EncodeSettings(**options)


def test_encode_into_absent_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(EncoderFailed, match="No such file"):
        encode([make.make_noise(1, 500)], tmp_path / "absent" / "x.flac", MONO)


@pytest.mark.slow
def test_encode_writes_rf64_beyond_four_gigabytes(tmp_path: Path) -> None:
    block_CT = make.make_noise(8, 1 << 16)
    count = (1 << 32) // (8 * 3 << 16) + 2
    path = tmp_path / "x.wav"
    blocks = (block_CT for _ in range(count))
    report = encode(blocks, path, AudioFormat(HZ, 8), settings=EncodeSettings("wav", 24))
    assert path.stat().st_size > 1 << 32
    with path.open("rb") as file:
        assert file.read(4) == b"RF64"
    (stream,) = make.ask(path)["streams"]
    assert stream["duration_ts"] == report.num_samples == count << 16
    path.unlink()
