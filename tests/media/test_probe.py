"""Test probing against ffprobe, and the reading of its answers."""

from pathlib import Path

import pytest

from separator.media.probe import probe, read_answer
from tests.helpers import media_files as make


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, three tracks, subtitles, and a cover."""
    folder = tmp_path_factory.mktemp("film")
    (folder / "x.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    stereo = make.write(folder / "2.wav", make.make_noise(2, 48_000, 16), layout="stereo")
    surround = make.write(folder / "6.wav", make.make_noise(6, 48_000, 16), layout="5.1")
    picture = make.write_picture(folder / "film.mp4", 1.0)
    inputs = ["-i", stereo, "-i", picture, "-i", surround, "-i", folder / "x.srt"]
    maps = ["-map", 0, "-map", 1, "-map", 2, "-map", 0, "-map", 3]
    names = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng"]
    names += ["-metadata:s:a:1", "title=Director's cut", "-metadata:s:a:2", "language=und"]
    flags = ["-disposition:a:0", "0", "-disposition:a:1", "default"]
    flags += ["-disposition:a:2", "comment+hearing_impaired"]
    codecs = ["-c:v", "copy", "-c:a:0", "aac", "-c:a:1", "ac3", "-c:a:2", "flac"]
    make.start(*inputs, *maps, *codecs, *names, *flags, folder / "x.mkv")
    return folder / "x.mkv"


def test_probe_lists_tracks_and_picture(film: Path) -> None:
    media = probe(film)
    assert media.stream_kinds == ("audio", "video", "audio", "audio", "subtitle")
    assert media.video is not None and media.video.stream_index == 1
    assert (media.video.codec, media.video.width_px, media.video.height_px) == ("h264", 64, 48)
    streams = [s for s in make.ask(film)["streams"] if s["codec_type"] == "audio"]
    for track, stream in zip(media.tracks, streams, strict=True):
        assert track.stream_index == stream["index"]
        assert track.codec == stream["codec_name"]
        assert track.rate_hz == int(stream["sample_rate"])
        assert track.num_channels == stream["channels"]
        assert track.start_s == float(stream["start_time"])
    first, second, third = media.tracks
    assert [track.index for track in media.tracks] == [0, 1, 2]
    assert (first.language, second.language, third.language) == ("ger", "eng", None)
    assert (second.title, first.title) == ("Director's cut", None)
    assert [track.is_default for track in media.tracks] == [False, True, False]
    assert [track.flags for track in media.tracks] == [(), (), ("comment", "hearing_impaired")]
    assert (first.layout, second.layout) == ("stereo", "5.1(side)")
    assert (first.bit_depth, third.bit_depth) == (None, 16)
    assert second.duration_s == pytest.approx(1.0, abs=0.1)


def test_probe_does_not_count_cover_as_video(tmp_path: Path) -> None:
    sound = make.write(tmp_path / "x.wav", make.make_noise(2, 48_000, 16), layout="stereo")
    make.start("-f", "lavfi", "-i", "color=s=64x64:d=0.04", "-frames:v", 1, tmp_path / "x.png")
    inputs = ["-i", sound, "-i", tmp_path / "x.png", "-map", 0, "-map", 1, "-c:v", "copy"]
    for name in ("x.mp3", "x.m4a"):
        make.start(*inputs, "-disposition:v", "attached_pic", tmp_path / name)
        media = probe(tmp_path / name)
        assert media.video is None
        assert media.stream_kinds == ("audio", "picture")
        decoded_CT, decoding = make.read(tmp_path / name)
        assert decoded_CT.shape[0] == 2
        assert decoding.num_before == 0


@pytest.mark.parametrize("name", ["x.mp3", "x.ogg", "x.mka"])
def test_probe_zero_of_single_track_is_none(name: str, tmp_path: Path) -> None:
    path = make.write(tmp_path / name, make.make_noise(1, 9600, 16), layout="mono")
    assert probe(path).zero_s is None


def test_read_answer_gives_none_for_missing_values() -> None:
    audio = {"index": 0, "codec_type": "audio", "start_time": "N/A", "duration": "N/A"}
    media = read_answer({"streams": [audio], "format": {}})
    (track,) = media.tracks
    assert (track.codec, track.rate_hz, track.num_channels) == ("unknown", 0, 0)
    assert (track.start_s, track.duration_s, track.layout, track.language) == (None,) * 4
    assert (media.duration_s, media.start_s) == (None, 0.0)


def test_read_answer_limits_duration_tag_to_file() -> None:
    audio = {"index": 0, "codec_type": "audio", "tags": {"DURATION": "01:00:01.500000000"}}
    answer = {"streams": [audio], "format": {"format_name": "matroska,webm", "duration": "10.0"}}
    assert read_answer(answer).tracks[0].duration_s == 10.0
    answer["format"]["duration"] = "4000.0"
    assert read_answer(answer).tracks[0].duration_s == 3601.5


def test_read_answer_ignores_codec_delay_in_zero() -> None:
    """Matroska gives Opus a start of -7 ms, which is priming: the picture at 0 is the zero."""
    audio = {"index": 0, "codec_type": "audio", "codec_name": "opus", "start_time": "-0.007000"}
    video = {"index": 1, "codec_type": "video", "codec_name": "vp9", "start_time": "0.000000"}
    form = {"format_name": "matroska,webm", "start_time": "-0.007000"}
    media = read_answer({"streams": [audio, video], "format": form})
    assert (media.start_s, media.zero_s) == (-0.007, 0.0)
