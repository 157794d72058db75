"""Test that new tracks are in sync with the picture, and that other streams are untouched."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from separator.audio.format import AudioFormat
from separator.errors import EncoderFailed, MediaError, RequestError
from separator.media.decode import decode
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.mux import MuxSettings, NewTrack, put_tracks
from separator.media.mxf import holds_mxf
from separator.media.probe import Media, probe
from tests.helpers import media_files as make
from tests.helpers.films import CLICKS, check_sync, hash_packets, make_film
from tests.helpers.masters import TIMECODE, make_master, make_sounds

# Slow, but run by `make check`.
CHECKED = (pytest.mark.slow, pytest.mark.check)


def edit(path: Path, media: Media, index: int, stem_path: Path) -> np.ndarray:
    """Invert a track, an edit that differs from the original everywhere."""
    track = media.tracks[index]
    blocks = [-block for block in decode(path, media, track)]
    audio_format = AudioFormat(track.rate_hz, track.num_channels)
    encode(blocks, stem_path, audio_format, settings=EncodeSettings("flac", 24))
    return np.concatenate(blocks, axis=1)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {suffix: make_film(folder / f"film{suffix}") for suffix in (".mp4", ".mkv")}


@pytest.mark.slow
@pytest.mark.check
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".mka", ".webm", ".ts"])
def test_put_tracks_writes_the_same_bytes_again(suffix: str, films, tmp_path: Path) -> None:
    source = films.get(suffix, films[".mp4"])
    if suffix in (".mka", ".webm"):  # without picture and subtitles
        source = make.write(tmp_path / f"in{suffix}", make.make_tones(1, make.HZ), layout="mono")
    elif suffix == ".ts":
        source = make_film(tmp_path / "in.ts")
    media = probe(source)
    mix = make.write(tmp_path / "mix.flac", make.make_tones(1, 2 * make.HZ), layout="mono")
    written = []
    for number in range(2):
        output = tmp_path / f"{number}{suffix}"
        put_tracks(source, media, [NewTrack(mix, replaces=media.tracks[0])], output)
        written.append(output.read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mkv", "flac"),
        pytest.param(".mp4", "aac", marks=CHECKED),
        pytest.param(".mov", "aac", marks=CHECKED),
    ],
)
def test_put_tracks_replaces_track_and_copies_the_rest(
    suffix: str, codec: str, films: dict[str, Path], tmp_path: Path
) -> None:
    source = films[suffix.replace(".mov", ".mp4")]
    media = probe(source)
    edited_CT = edit(source, media, 0, tmp_path / "stem.flac")
    output = tmp_path / f"out{suffix}"
    new = NewTrack(tmp_path / "stem.flac", replaces=media.tracks[0])
    put_tracks(source, media, [new], output)
    after = probe(output)
    assert after.stream_kinds == media.stream_kinds
    assert after.stream_kinds[:4] == ("video", "audio", "audio", "subtitle")
    first, second = after.tracks
    assert (first.codec, first.language, second.language) == (codec, "ger", "eng")
    assert first.is_default == media.tracks[0].is_default
    assert first.title == "Ton" or suffix != ".mkv"  # mp4 has no such title
    assert hash_packets(output, "v:0") == hash_packets(source, "v:0")
    assert hash_packets(output, "a:1") == hash_packets(source, "a:1")
    chapters = make.ask(output, "-show_chapters")["chapters"]
    assert [chapter["tags"]["title"] for chapter in chapters] == ["One", "Two"]
    assert make.ask(output, "-show_format")["format"]["tags"]["title"] == "The film"
    decoded_CT, _ = make.read(output)
    if codec == "flac":
        # They differ by Matroska's millisecond only.
        shift = make.find_click(-decoded_CT, CLICKS[0]) - make.find_click(-edited_CT, CLICKS[0])
        assert abs(shift) <= 48
    check_sync(source, output, 0 if suffix != ".mkv" else 48)


@pytest.mark.parametrize("pictures", [["-map", "0:v"], []])
def test_tags_and_chapters_are_the_files_whatever_its_first_stream(
    pictures, films: dict[str, Path], tmp_path: Path
) -> None:
    """The mix comes before the file among ffmpeg's inputs where the first track is replaced."""
    source = tmp_path / "in.mkv"
    make.start("-i", films[".mkv"], "-map", "0:a:0", *pictures, "-c", "copy", source)
    media = probe(source)
    assert media.stream_kinds[0] == "audio"
    tags = ["-metadata", "title=mix", "-metadata", "comment=secret"]
    mix = make.write(tmp_path / "mix.flac", make.make_tones(1, 2 * make.HZ), *tags)
    output = tmp_path / "out.mkv"
    put_tracks(source, media, [NewTrack(mix, replaces=media.tracks[0])], output)
    assert probe(output).stream_kinds == media.stream_kinds
    tags = make.ask(output, "-show_format")["format"]["tags"]
    assert tags["title"] == "The film" and "secret" not in tags.values()
    chapters = make.ask(output, "-show_chapters")["chapters"]
    assert [chapter["tags"]["title"] for chapter in chapters] == ["One", "Two"]


@pytest.mark.parametrize(
    ("suffix", "offset_s", "most"), [pytest.param(".mkv", 0.4, 48, marks=CHECKED), (".ts", 0.0, 2)]
)
def test_put_tracks_keeps_differing_starts(
    suffix: str, offset_s: float, most: int, tmp_path: Path
) -> None:
    source = make_film(tmp_path / f"film{suffix}", offset_s)
    media = probe(source)
    edit(source, media, 0, tmp_path / "stem.flac")
    output = tmp_path / f"out{suffix}"
    new = NewTrack(tmp_path / "stem.flac", replaces=media.tracks[0])
    put_tracks(source, media, [new], output)
    check_sync(source, output, most, offset_s)


@pytest.mark.parametrize("replaced", [8, 9, None])
def test_names_of_tracks_beyond_the_eighth_stream_are_right(replaced, tmp_path: Path) -> None:
    sound = make.write(tmp_path / "a.wav", make.make_tones(1, make.HZ), layout="mono")
    source, names = tmp_path / "in.mp4", [f"T{i}" for i in range(10)]
    maps = [word for _ in names for word in ("-map", 0)]
    named = [w for i, n in enumerate(names) for w in (f"-metadata:s:a:{i}", f"handler_name={n}")]
    make.start("-i", sound, *maps, "-c:a", "aac", *named, source)
    media = probe(source)
    old = None if replaced is None else media.tracks[replaced]
    put_tracks(source, media, [NewTrack(sound, "ger", "new", old)], tmp_path / "out.mp4")
    streams = make.ask(tmp_path / "out.mp4")["streams"]
    wanted = (
        [*names, "new"] if old is None else [n if n != f"T{replaced}" else "new" for n in names]
    )
    assert [stream["tags"]["handler_name"] for stream in streams] == wanted
    assert [s["tags"]["language"] for s in streams].index("ger") == wanted.index("new")


@pytest.mark.parametrize("flags", ["0", "comment", "default+original+hearing_impaired"])
def test_put_tracks_keeps_the_flags_of_what_it_replaces(flags: str, tmp_path: Path) -> None:
    sound = make.write(tmp_path / "a.wav", make.make_tones(1, make.HZ), layout="mono")
    source = tmp_path / "in.mkv"
    make.start("-i", sound, "-c:a", "flac", "-disposition:a:0", flags, source)
    media = probe(source)
    new = NewTrack(sound, replaces=media.tracks[0])
    put_tracks(source, media, [new], tmp_path / "out.mkv")
    (after,) = make.ask(tmp_path / "out.mkv")["streams"]
    found = {name for name, is_set in after["disposition"].items() if is_set}
    assert found == set(flags.split("+")) - {"0"}


def test_put_tracks_adds_track(films: dict[str, Path], tmp_path: Path) -> None:
    source = films[".mkv"]
    media = probe(source)
    edited_CT = edit(source, media, 1, tmp_path / "stem.flac")
    settings = MuxSettings(codec="libopus", bitrate_bps=64_000)
    new = NewTrack(tmp_path / "stem.flac", "fre", "ohne Sirene")
    put_tracks(source, media, [new], tmp_path / "out.mkv", settings)
    after = probe(tmp_path / "out.mkv")
    assert after.stream_kinds == (*media.stream_kinds, "audio")
    added = after.tracks[2]
    assert (added.codec, added.language, added.title) == ("opus", "fre", "ohne Sirene")
    assert not added.is_default
    for stream in ("v:0", "a:0", "a:1"):
        assert hash_packets(tmp_path / "out.mkv", stream) == hash_packets(source, stream)
    decoded_CT, _ = make.read(tmp_path / "out.mkv", 2)
    found = make.find_click(-decoded_CT, CLICKS[0]) - make.find_click(-edited_CT, CLICKS[0])
    other_CT, _ = make.read(tmp_path / "out.mkv", 1)
    moved = make.find_click(other_CT, CLICKS[0]) - make.find_click(-edited_CT, CLICKS[0])
    assert abs(found - moved) <= 360  # ffmpeg 5 places Opus in Matroska 7 ms off


def test_put_tracks_refuses_bad_requests(films: dict[str, Path], tmp_path: Path) -> None:
    source = films[".mkv"]
    media = probe(source)
    clicks = make.make_clicks(CLICKS, 2 * make.HZ)
    stem = NewTrack(make.write(tmp_path / "clicks.wav", clicks, layout="mono"))
    with pytest.raises(RequestError, match="must not be one of"):
        put_tracks(source, media, [stem], source)
    with pytest.raises(RequestError, match="must end in one of"):
        put_tracks(source, media, [stem], tmp_path / "out.xyz")
    with pytest.raises(EncoderFailed) as caught:
        settings = MuxSettings(codec="no_such_codec")
        put_tracks(source, media, [stem], tmp_path / "out.mkv", settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mkv").exists()
    playlist = tmp_path / "stem.flac"
    playlist.write_text(f"ffconcat version 1.0\nfile {stem.path.name}\n")
    with pytest.raises(MediaError):
        put_tracks(source, media, [NewTrack(playlist)], tmp_path / "out.mkv")


def test_put_tracks_writes_channels_into_streams_of_mxf_with_the_same_bytes_again(
    tmp_path: Path,
) -> None:
    source = make_master(tmp_path / "in.mxf", make_sounds(3))
    media = probe(source)
    mix_CT = make_sounds(3)[::-1] / 2
    mix_CT = np.round(mix_CT * 2.0**23).astype(np.float32) / np.float32(2.0**23)
    mix = make.write(tmp_path / "mix.flac", mix_CT, "-c:a", "flac", "-sample_fmt", "s32")
    new = [NewTrack(mix, replaces=media.tracks[at], channel=1 + at) for at in (0, 1)]
    written = [tmp_path / "0.mxf", tmp_path / "1.mxf"]
    for output in written:
        put_tracks(source, media, new, output)
    assert written[0].read_bytes() == written[1].read_bytes()
    for number, wanted_CT in enumerate([mix_CT[1:2], mix_CT[2:], make_sounds(3)[2:]]):
        np.testing.assert_array_equal(make.read(written[0], number)[0], wanted_CT)


def test_put_tracks_refuses_an_mxf_that_would_end_early(tmp_path: Path) -> None:
    """ffmpeg ends an MXF with its shortest stream, without a word."""
    source = make_master(tmp_path / "in.mxf", make_sounds(2))
    media = probe(source)
    mix = make.write(tmp_path / "mix.flac", make.make_tones(1, make.HZ // 2))
    with pytest.raises(EncoderFailed, match=r"would end after 0\.5\d0 s of 2\.000 s"):
        put_tracks(source, media, [NewTrack(mix, replaces=media.tracks[0])], tmp_path / "out.mxf")
    assert not (tmp_path / "out.mxf").exists()


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ((), True),
        (("-c:a", "pcm_s16le"), True),
        (("-c:v", "libx264", "-pix_fmt", "yuv420p"), True),
        (("-c:v", "prores"), True),
        (("-c:v", "jpeg2000"), True),
        (("-c:v", "dnxhd", "-pix_fmt", "yuv422p", "-s", "1920x1080", "-b:v", "120M"), True),
        (("-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-s", "720x576"), True),
        (("-c:a", "pcm_s24be"), False),
        (("-c:v", "mpeg4"), False),
        (("-ar", 44_100), False),
    ],
)
def test_holds_mxf_agrees_with_ffmpeg(options: tuple, holds: bool, tmp_path: Path) -> None:
    """The referee: ffmpeg copies the streams into MXF, or refuses to."""
    source = make_master(tmp_path / ("in.mxf" if holds else "in.mov"), make_sounds(1), *options)
    assert holds_mxf(replace(probe(source), container="mxf")) == holds
    maps = ("-map", "0:v", "-map", "0:a", "-c", "copy")
    command = ["ffmpeg", "-v", "error", "-i", source, *maps, tmp_path / "out.mxf"]
    done = subprocess.run([*map(str, command)], capture_output=True, stdin=subprocess.DEVNULL)
    assert (done.returncode == 0) == holds


def test_holds_mxf_refuses_two_pictures_and_none(tmp_path: Path) -> None:
    media = probe(make_master(tmp_path / "in.mxf", make_sounds(1)))
    assert holds_mxf(media)
    assert not holds_mxf(replace(media, stream_kinds=("video", "video", "audio")))
    assert not holds_mxf(replace(media, stream_kinds=("audio", "video")))
    assert not holds_mxf(replace(media, container="mov"))
    assert not holds_mxf(replace(media, video=None, stream_kinds=("audio",)))


@pytest.mark.parametrize(
    ("old", "new"), [(".mov", ".mov"), (".mxf", ".mxf"), (".mxf", ".mov"), (".mov", ".mp4")]
)
def test_put_tracks_keeps_the_time_code(old: str, new: str, tmp_path: Path) -> None:
    source = make_master(tmp_path / f"in{old}", make_sounds(1))
    media = probe(source)
    assert media.timecode == TIMECODE
    mix = make.write(tmp_path / "mix.flac", make_sounds(1))
    put_tracks(source, media, [NewTrack(mix, replaces=media.tracks[0])], tmp_path / f"out{new}")
    assert probe(tmp_path / f"out{new}").timecode == TIMECODE
    found = make.ask(tmp_path / f"out{new}", "-show_streams", "-show_format")
    places = [found["format"], *found["streams"]]
    assert TIMECODE in {place.get("tags", {}).get("timecode") for place in places}
    if new != ".mxf":
        assert [stream.get("codec_tag_string") for stream in found["streams"]][-1] == "tmcd"
