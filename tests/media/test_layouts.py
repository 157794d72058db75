"""Test that channels keep their place and level, whatever their layout is called."""

from pathlib import Path

import numpy as np
import pytest

from separator.audio.format import AudioFormat
from separator.audio.loudness import LAYOUTS
from separator.errors import LayoutUnsupported
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.formats import FORMATS
from separator.media.mux import MuxSettings, NewTrack, put_tracks
from separator.media.probe import probe
from tests.helpers import media_files as make
from tests.helpers.media_files import HZ

FLAC = EncodeSettings("flac", 24)


def decode_by_ffmpeg(path: Path, num_channels: int) -> np.ndarray:
    data = make.start("-i", path, "-map", "0:a:0", "-f", "f32le", "-c:a", "pcm_f32le", "-")
    return np.frombuffer(data, "<f4").reshape(-1, num_channels).T


def make_film(path: Path, codec: str, num_tracks: int = 1) -> Path:
    picture = make.write_picture(path.with_name("picture.mp4"), 1.0)
    video = "libvpx" if path.suffix == ".webm" else "copy"
    maps = ["-map", "0", *num_tracks * ["-map", "1"]]
    sound = ["-f", "lavfi", "-i", "sine=duration=1:sample_rate=48000"]
    codecs = ["-c:v", video, "-c:a", codec, "-strict", "experimental"]
    make.start("-i", picture, *sound, *maps, *codecs, path)
    return path


def put_back(path: Path, signal_CT: np.ndarray, layout: str, codec: str | None = None) -> Path:
    """Replace the first track of a film."""
    media, mix = probe(path), path.with_name("mix.flac")
    encode([signal_CT], mix, AudioFormat(HZ, len(signal_CT), layout), settings=FLAC)
    output = path.with_stem("output")
    new = NewTrack(mix, replaces=media.tracks[0])
    put_tracks(path, media, [new], output, MuxSettings(codec))
    return output


@pytest.mark.parametrize("form", ["ogg", "m4a"])
def test_encode_keeps_order_of_channels_of_every_layout(form: str, tmp_path: Path) -> None:
    for layout in FORMATS[form].layouts:
        names = LAYOUTS[layout].split("+")
        signal_CT = make.make_tones(len(names), HZ // 2)
        path = tmp_path / f"x.{form}"
        encode(
            [signal_CT], path, AudioFormat(HZ, len(names), layout), settings=EncodeSettings(form)
        )
        decoded_CT = decode_by_ffmpeg(path, len(names))[:, : signal_CT.shape[1]]
        likeness_CC = np.abs(decoded_CT @ signal_CT[:, : decoded_CT.shape[1]].T)
        for channel, name in enumerate(names):
            if name != "LFE":  # it passes low tones only
                assert int(np.argmax(likeness_CC[channel])) == channel, (layout, name)


@pytest.mark.parametrize("layout", ["5.0", "5.0(side)", "6.1"])
def test_encode_refuses_layouts_that_opus_reorders(layout: str, tmp_path: Path) -> None:
    count = len(LAYOUTS[layout].split("+"))
    with pytest.raises(LayoutUnsupported, match="choose wav"):
        encode([], tmp_path / "x", AudioFormat(HZ, count, layout), settings=EncodeSettings("ogg"))


def test_encode_names_the_format_that_a_layout_does_not_fit(tmp_path: Path) -> None:
    settings = EncodeSettings("m4a")
    with pytest.raises(LayoutUnsupported, match=r"4 channels \(quad\) do not fit m4a \(mono, "):
        encode([], tmp_path / "x", AudioFormat(HZ, 4, "quad"), settings=settings)


@pytest.mark.parametrize(
    ("layout", "written"), [("1 channels (FL)", "mono"), ("downmix", "stereo")]
)
@pytest.mark.parametrize("form", ["ogg", "mp3", "m4a"])
def test_encode_takes_other_names_of_mono_and_stereo(
    form: str, layout: str, written: str, tmp_path: Path
) -> None:
    count, path = {"mono": 1, "stereo": 2}[written], tmp_path / f"x.{form}"
    signal_CT = make.make_tones(count, HZ)
    encode([signal_CT], path, AudioFormat(HZ, count, layout), settings=EncodeSettings(form))
    assert make.ask(path)["streams"][0]["channel_layout"] == written
    level = decode_by_ffmpeg(path, count)[:, 4800:43_200].std() / signal_CT.std()
    assert level == pytest.approx(1.0, abs=0.06)  # LAME takes off 5 %


@pytest.mark.parametrize("codec", ["aac", "ac3", "libopus"])
def test_put_tracks_keeps_the_level_of_a_channel_of_another_name(
    codec: str, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "film.mkv", "aac")
    signal_CT = make.make_tones(1, HZ)
    output = put_back(film, signal_CT, "1 channels (FL)", codec)
    assert make.ask(output)["streams"][1]["channels"] == 1
    level = decode_by_ffmpeg(output, 1)[:, 4800:43_200].std() / signal_CT.std()
    assert level == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("layout", ["5.0", "2.1"])
def test_put_tracks_refuses_layouts_that_opus_lacks(layout: str, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.webm", "libopus")
    count = len(LAYOUTS[layout].split("+"))
    with pytest.raises(LayoutUnsupported, match="remux_codec"):
        put_back(film, make.make_tones(count, HZ), layout)


@pytest.mark.parametrize("codec", ["flac", "truehd"])
def test_put_tracks_copies_lossless_tracks_of_mp4(codec: str, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", codec, num_tracks=2)
    output = put_back(film, make.make_tones(1, HZ), "mono")
    found = [stream["codec_name"] for stream in make.ask(output)["streams"]]
    assert found == ["h264", "aac", codec]
