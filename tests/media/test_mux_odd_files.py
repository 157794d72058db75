"""Films of cameras, discs and streams: put back in sync, whole, and in bounded memory."""

import struct
from pathlib import Path

import numpy as np
import pytest

from separator.audio.format import AudioFormat
from separator.errors import MediaTooLarge
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings, Tags
from separator.media.limits import Limits
from separator.media.mux import NewTrack, put_tracks
from separator.media.probe import probe
from separator.media.unwritten import raise_for_output
from tests.helpers import media_files as make
from tests.helpers.films import check_sync, make_film

MIB = 1 << 20


def put_back(path: Path, limits: Limits | None = None) -> Path:
    """Replace the first track by itself, inverted."""
    media = probe(path)
    sound_CT, _ = make.read(path)
    folder = path.parent
    mix = make.write(folder / "mix.flac", -sound_CT, layout=media.tracks[0].layout)
    output = path.with_stem(f"{path.stem}-out")
    put_tracks(path, media, [NewTrack(mix, replaces=media.tracks[0])], output, None, limits)
    return output


@pytest.mark.parametrize("flags", ["frag_keyframe+delay_moov", "frag_keyframe+empty_moov"])
def test_put_tracks_into_fragmented_mp4_is_in_sync(flags: str, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4")
    path = tmp_path / "fragmented.mp4"
    make.start("-i", film, "-map", "0:v", "-map", "0:a", "-c", "copy", "-movflags", flags, path)
    check_sync(path, put_back(path), 24)


def test_put_tracks_into_mkv_with_opus_is_in_sync(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv")
    path = tmp_path / "opus.mkv"
    codecs = ["-c:v", "copy", "-c:a", "libopus"]
    make.start("-i", film, "-map", "0:v", "-map", "0:a:0", *codecs, path)
    check_sync(path, put_back(path), 48)


@pytest.mark.slow
@pytest.mark.check
def test_put_tracks_holds_no_film_in_memory_for_one_subtitle(tmp_path: Path) -> None:
    """184 MB of picture after the only subtitle, and a limit that leaves room for a part of it."""
    (tmp_path / "x.srt").write_text("1\n00:00:00,100 --> 00:00:00,500\n(door)\n")
    path = tmp_path / "film.mkv"
    picture = "nullsrc=size=320x240:rate=20:duration=120,format=gray"
    sound = "sine=duration=120:sample_rate=8000"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-i", tmp_path / "x.srt"]
    maps = ["-map", 0, "-map", 1, "-map", 2]
    make.start(*inputs, *maps, "-c:v", "rawvideo", "-c:a", "flac", "-c:s", "srt", path)
    assert path.stat().st_size > 170 * MIB
    output = put_back(path, Limits(memory_bytes=400 * MIB))
    assert output.stat().st_size > 170 * MIB


def test_a_program_that_lacks_memory_is_told_as_too_large(tmp_path: Path) -> None:
    tail = "Error submitting audio frame to the encoder | film.mp4: Cannot allocate memory"
    with pytest.raises(MediaTooLarge, match="the limit of memory is too low"):
        raise_for_output(tmp_path / "film.mp4", 1, tail)


def make_box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def make_spherical(path: Path) -> None:
    """Mark the picture of an mp4 whose header comes last as stereo and spherical, as cameras do."""
    data = bytearray(path.read_bytes())
    projection = make_box(b"prhd", bytes(16)) + make_box(b"equi", bytes(20))
    inner = make_box(b"svhd", bytes(4) + b"me\0") + make_box(b"proj", projection)
    added = make_box(b"st3d", bytes(4) + b"\x02") + make_box(b"sv3d", inner)
    place = data.index(b"avc1", data.index(b"stsd"))
    (size,) = struct.unpack_from(">I", data, place - 4)
    data[place - 4 + size : place - 4 + size] = added
    names = (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov")
    for at in (place, *(data.rindex(name, 0, place) for name in names[1:])):
        (size,) = struct.unpack_from(">I", data, at - 4)
        struct.pack_into(">I", data, at - 4, size + len(added))
    path.write_bytes(data)


def test_put_tracks_keeps_a_spherical_picture(tmp_path: Path) -> None:
    picture = make.write_picture(tmp_path / "picture.mp4")
    tone = make.write(tmp_path / "tone.wav", make.make_tones(1, make.HZ), layout="mono")
    path = tmp_path / "film.mp4"
    make.start("-i", picture, "-i", tone, "-c:v", "copy", "-c:a", "aac", path)
    make_spherical(path)
    entries = ("-select_streams", "v", "-show_entries", "stream_side_data")
    found = [make.ask(each, *entries)["streams"] for each in (path, put_back(path))]
    kinds = [[side["side_data_type"] for side in streams[0]["side_data_list"]] for streams in found]
    assert "Spherical Mapping" in kinds[0] and kinds[1] == kinds[0]


@pytest.mark.parametrize(
    ("suffix", "codec", "kept"),
    [(".m2ts", "pcm_bluray", "flac"), (".aiff", "pcm_f32be", "pcm_f32le")],
)
def test_put_tracks_keeps_samples_that_matroska_has_no_codec_for(
    suffix: str, codec: str, kept: str, tmp_path: Path
) -> None:
    sound_CT = make.make_noise(2, make.HZ, 16)
    tone = make.write(tmp_path / "tone.wav", sound_CT, "-c:a", "pcm_s16le", layout="stereo")
    path = tmp_path / f"disc{suffix}"
    picture = ["-i", make.write_picture(tmp_path / "picture.mp4")] * (suffix != ".aiff")
    codecs = ["-c:v", "mpeg2video", "-c:a", codec]
    make.start("-i", tone, *picture, *codecs, path)
    media = probe(path)
    output = tmp_path / "out.mkv"
    put_tracks(path, media, [NewTrack(tone)], output)
    old, new = probe(output).tracks
    assert (old.codec, new.codec) == (kept, "flac")
    np.testing.assert_array_equal(make.read(output)[0], make.read(path)[0])


def test_put_tracks_counts_the_pictures_of_a_gxf(tmp_path: Path) -> None:
    picture = make.write_picture(tmp_path / "picture.mp4")
    sound = make.write(tmp_path / "tone.wav", make.make_tones(1, 2 * make.HZ), layout="mono")
    path = tmp_path / "film.gxf"
    codecs = ["-c:v", "mpeg2video", "-s", "720x576", "-c:a", "pcm_s16le", "-ac", 1]
    make.start("-i", picture, "-i", sound, *codecs, path)
    media = probe(path)
    output = tmp_path / "out.mkv"
    put_tracks(path, media, [NewTrack(sound, replaces=media.tracks[0])], output)
    assert probe(output).stream_kinds[:2] == media.stream_kinds[:2]


def test_put_tracks_brings_no_address_of_an_asset_into_a_film(tmp_path: Path) -> None:
    """The tags of an ogg belong to its stream."""
    film, mix = make_film(tmp_path / "film.mkv"), tmp_path / "mix.ogg"
    tags = Tags("bird", "s3://private/film.mkv", "CC0")
    form = AudioFormat(make.HZ, 1)
    encode([make.make_tones(1, make.HZ)], mix, form, settings=EncodeSettings("ogg"), tags=tags)
    assert b"s3://private" in mix.read_bytes()
    output, media = tmp_path / "out.mkv", probe(film)
    put_tracks(film, media, [NewTrack(mix, replaces=media.tracks[0]), NewTrack(mix)], output)
    assert b"s3://private" not in output.read_bytes() and b"CC0" not in output.read_bytes()
    assert probe(output).tracks[0].title == "Ton"


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_put_tracks_keeps_starts_that_are_no_whole_milliseconds(
    suffix: str, tmp_path: Path
) -> None:
    picture = make.write_picture(tmp_path / "picture.mp4")
    tone = make.write(tmp_path / "tone.wav", make.make_tones(1, make.HZ), layout="mono")
    inputs = ["-itsoffset", 0.04171, "-i", picture, "-i", tone, "-itsoffset", 0.0133, "-i", tone]
    maps = ["-map", 0, "-map", 1, "-map", 2, "-c:v", "copy", "-c:a", "aac"]
    path = tmp_path / f"film{suffix}"
    make.start(*inputs, *maps, "-movie_timescale", 90_000, path)
    before, after = (
        [float(stream["start_time"]) for stream in make.ask(each)["streams"]]
        for each in (path, put_back(path))
    )
    assert 0.0415 < before[0] < 0.042
    np.testing.assert_allclose(after, before, atol=1 / make.HZ)


def test_put_tracks_leaves_out_subtitles_that_ffmpeg_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    film = make_film(tmp_path / "film.mp4")
    make.start("-i", film, "-map", 0, "-map", "-0:d", "-c", "copy", "-c:s", "ttml", path)
    assert "subtitle" in probe(path).stream_kinds
    assert probe(put_back(path)).stream_kinds[:3] == ("video", "audio", "audio")


def test_put_tracks_cuts_a_title_that_no_argument_holds(tmp_path: Path) -> None:
    """Linux takes 128 KiB in an argument of a program."""
    film, path = make_film(tmp_path / "film.mkv"), tmp_path / "x.mkv"
    (tmp_path / "title.txt").write_text(f";FFMETADATA1\n[STREAM]\ntitle={'A' * 200_000}\n")
    inputs = ["-i", film, "-i", tmp_path / "title.txt", "-map", 0, "-map_metadata:s:1", "1:s:0"]
    make.start(*inputs, "-c", "copy", path)
    assert len(probe(path).tracks[0].title or "") == 200_000
    assert probe(put_back(path)).tracks[0].title == "A" * 1000


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_put_tracks_keeps_the_keys_of_cameras(suffix: str, tmp_path: Path) -> None:
    keys = {
        "com.apple.quicktime.make": "Maker",
        "com.apple.quicktime.location.ISO6709": "+48.1+011.5/",
        "title": "Trip",
    }
    path, film = tmp_path / f"x{suffix}", make_film(tmp_path / "film.mp4")
    words = [word for key, value in keys.items() for word in ("-metadata", f"{key}={value}")]
    flags = ["-movflags", "use_metadata_tags"]
    make.start("-i", film, "-map", "0:v", "-map", "0:a", "-c", "copy", *flags, *words, path)
    output = put_back(path)
    shown = [make.ask(each, "-show_format")["format"]["tags"] for each in (path, output)]
    assert all(keys.items() <= tags.items() for tags in shown)
    assert b"major_brand" not in output.read_bytes()
